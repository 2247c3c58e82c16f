"""torchvision beside a torch without CUDA, each case in its own process: a declaration lasts as long as the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import run_command, run_fresh


def run(folder: Path, code: str) -> str:
    """What the code prints, in a process that has torch and not torchvision; modules in `folder` are found first."""
    (folder / "script.py").write_text(code)
    result = run_command(folder / "script.py")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_users_module_that_imports_torchvision_itself_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text("import torchvision\ndef net():\n    return torchvision.__name__\n")
    code = "from src.python_object import call; print(call('my_models:net', 'model'))"
    assert run(tmp_path, code) == "torchvision"


def test_without_an_import_of_torchvision_nothing_is_loaded() -> None:
    code = "import sys, src; print([name for name in ('torch', 'torchvision') if name in sys.modules])\n"
    code += "import src.data.libsvm, src.models.linear, src.optim.optimizers; print('torchvision' in sys.modules)"
    assert run_fresh("-c", code).stdout.split() == ["[]", "False"]


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
    assert run(tmp_path, "import src, torchvision") == declared
