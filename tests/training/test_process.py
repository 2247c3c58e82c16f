"""A run and the program that imports it keep their settings of torch apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import stats_without_clock

from src.config import Config
from train import experiment_generator


@pytest.fixture(autouse=True)
def torchs_defaults() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for backend in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
        backend.fp32_precision = "ieee"


def older_interface() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = False


def newer_interface() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


def read() -> tuple[object, ...]:
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul, torch.backends.cudnn.conv)
    return torch.get_default_dtype(), *(backend.fp32_precision for backend in backends)


@pytest.mark.parametrize("set_precision", [older_interface, newer_interface])
def test_the_programs_number_formats_do_not_reach_into_a_run_and_are_its_own_between_epochs(
    small: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    set_precision: Callable[[], None],
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "precise_models.py").write_text(
        "import torch\n"
        "seen = []\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self, num_classes):\n        super().__init__(4, num_classes)\n"
        "    def forward(self, x):\n"
        "        seen.append((torch.get_default_dtype(), torch.get_float32_matmul_precision(),\n"
        "                     torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))\n"
        "        return super().forward(x)\n"
    )
    for name in ("alone", "inside"):
        if name == "inside":
            torch.set_default_dtype(torch.float64)
            set_precision()
        before = read()
        config = small(output_dir=str(tmp_path / name), model="python/precise_models:Net")
        for _ in experiment_generator(config):
            assert read() == before
        assert read() == before
    assert stats_without_clock(tmp_path / "alone") == stats_without_clock(tmp_path / "inside")

    import precise_models  # type: ignore[import-not-found]

    assert set(precise_models.seen) == {(torch.float32, "highest", False, True)}
