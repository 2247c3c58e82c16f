"""What a run saves, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from src.config import Config, to_dict
from src.training import checkpoint
from src.training.checkpoint import CheckpointError
from src.training.metrics import build_metrics
from src.training.saving import Saver
from src.training.state import TrainState
from train import experiment_generator

Make = Callable[..., Config]
CPU = torch.device("cpu")


def make_saver(config: Config, folder: Path, saved: Callable[[int], None] = lambda step: None) -> Saver:
    model = nn.Linear(3, 2)
    parts = {
        "model": model,
        "optimizer": torch.optim.Adam(model.parameters()),
        "state": TrainState(build_metrics(None, 2), CPU),
    }
    return Saver(config, folder, to_dict(config), parts, saved, lambda text: None)


def train_a_step(saver: Saver) -> None:
    saver.model(torch.ones(4, 3)).sum().backward()
    saver.parts["optimizer"].step()  # type: ignore[attr-defined]
    saver.state.metrics.update(torch.rand(4), torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))
    saver.state.count_step(4, torch.tensor(1.5), 0.1)


def test_a_resumed_run_has_every_part_as_it_was(small: Make, tmp_path: Path) -> None:
    told: list[int] = []
    saver = make_saver(small(), tmp_path, told.append)
    assert not saver.resume(CPU)
    train_a_step(saver)
    saver.save()
    expected = torch.rand(3)  # what the run would have drawn next

    other = make_saver(small(), tmp_path)
    assert other.resume(CPU) and told == [1]
    assert torch.equal(torch.rand(3), expected)
    torch.testing.assert_close(other.model.state_dict(), saver.model.state_dict())
    assert str(other.parts["optimizer"].state_dict()) == str(saver.parts["optimizer"].state_dict())
    assert other.state.metrics.compute() == saver.state.metrics.compute()
    assert (other.state.step, other.state.seen_examples, other.state.lr) == (1, 4, 0.1)


def test_a_state_that_is_not_finite_never_replaces_a_good_one(small: Make, tmp_path: Path) -> None:
    saver = make_saver(small(), tmp_path)
    saver.save()
    good = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        saver.model.weight[0, 0] = torch.nan
    train_a_step(saver)
    saver.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == good


def test_a_state_is_due_by_the_clock(small: Make, tmp_path: Path) -> None:
    assert make_saver(small(checkpoint_every_seconds=0), tmp_path).due
    assert not make_saver(small(checkpoint_every_seconds=1e6), tmp_path).due


def test_a_checkpoint_of_other_numbers_is_rejected_and_one_of_other_logging_is_not(small: Make, tmp_path: Path) -> None:
    make_saver(small(), tmp_path).save()
    assert make_saver(small(log_interval=77, num_workers=0), tmp_path).resume(CPU)
    with pytest.raises(CheckpointError, match=r"batch_size: 16 -> 17"):
        make_saver(small(batch_size=17), tmp_path).resume(CPU)


def test_weights_that_are_kept_load_without_this_code(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    checkpoint.save_weights(tmp_path / "kept.pt", model, {"epoch": 3, "test/last/loss": 0.5})
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)
    nn.Linear(3, 2).load_state_dict(kept["model"])
    assert kept["stats"]["epoch"] == 3


def test_a_resumed_run_whose_own_code_has_changed_says_so_in_its_log(
    small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = tmp_path / "changing_models.py"
    code.write_text("from torch import nn\ndef net(num_classes):\n    return nn.Linear(4, num_classes)\n")
    config = small(model="python/changing_models:net", train_length=3)
    log = tmp_path / "run" / "training.log"
    for change in ("", "", "# better\n"):
        code.write_text(code.read_text() + change)
        assert "has changed" not in (log.read_text() if log.exists() else "")
        for _ in experiment_generator(config):
            break
    (line,) = [line for line in log.read_text().splitlines() if "has changed" in line]
    assert f"warning: {code}, the code of python/changing_models:net, has changed since" in line
