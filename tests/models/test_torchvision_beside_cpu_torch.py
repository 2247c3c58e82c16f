"""torchvision beside a torch without CUDA, each case in its own process: a declaration lasts as long as the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(code: str, *, first_on_path: Path | None = None) -> str:
    path = [str(folder) for folder in (first_on_path, ROOT) if folder]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_users_module_that_imports_torchvision_itself_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text("import torchvision\ndef net():\n    return torchvision.__name__\n")
    code = "from src.python_object import call; print(call('my_models:net', 'model'))"
    assert run(code, first_on_path=tmp_path) == "torchvision"


def test_without_an_import_of_torchvision_nothing_is_loaded() -> None:
    assert run("import src; print([name for name in ('torch', 'torchvision') if name in sys.modules])") == "[]"
    rooms = "import src.data.libsvm, src.models.linear, src.optim.optimizers"
    assert run(f"{rooms}; print('torchvision' in sys.modules)") == "False"


@pytest.mark.parametrize(("compiled_part_fails", "declared"), [(False, "False False"), (True, "True True")])
def test_operators_are_declared_only_if_the_compiled_part_cannot_be_loaded(
    tmp_path: Path, compiled_part_fails: bool, declared: str
) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    if compiled_part_fails:
        (package / "_C.so").write_bytes(b"linked against a library that is not there")
    (package / "__init__.py").write_text(
        "import torch\nprint(hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))"
    )
    assert run("import src, torchvision", first_on_path=tmp_path) == declared
