"""src.torchvision_cpu.mend, each case in a process of its own: what torch declares lasts as long as the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(code: str, *, first_on_path: Path | None = None) -> str:
    path = [str(folder) for folder in (first_on_path, ROOT) if folder]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_torchvision_can_be_imported_after_it_however_often_it_is_called() -> None:
    assert (
        run("from src.torchvision_cpu import mend\nmend(); mend()\nimport torchvision; mend(); print('fine')") == "fine"
    )


def test_nms_is_declared_only_where_the_compiled_part_cannot_be_loaded(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    code = (
        "import torch; from src.torchvision_cpu import mend; mend()\n"
        "print(hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))"
    )
    assert run(code, first_on_path=tmp_path) == "False False"
    (package / "_C.so").write_bytes(b"linked against a library that is not there")
    assert run(code, first_on_path=tmp_path) == "True True"
