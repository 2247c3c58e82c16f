"""src.torchvision_cpu.mend, each case in a process of its own: what torch declares lasts as long as the process."""

from __future__ import annotations

from pathlib import Path

from helpers import run_command


def run(folder: Path, code: str) -> str:
    """What the code prints, in a process that has torch and not torchvision; modules in `folder` are found first."""
    (folder / "script.py").write_text(code)
    result = run_command(folder / "script.py")
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_torchvision_can_be_imported_after_it_however_often_it_is_called(tmp_path: Path) -> None:
    code = "from src.torchvision_cpu import mend\nmend(); mend()\nimport torchvision; mend(); print('fine')"
    assert run(tmp_path, code) == "fine"


def test_nms_is_declared_only_where_the_compiled_part_cannot_be_loaded(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    code = (
        "import torch; from src.torchvision_cpu import mend; mend()\n"
        "print(hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))"
    )
    assert run(tmp_path, code) == "False False"
    (package / "_C.so").write_bytes(b"linked against a library that is not there")
    assert run(tmp_path, code) == "True True"
