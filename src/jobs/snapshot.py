"""The code that a job runs, copied at submission, and a record of its environment."""

from __future__ import annotations

import filecmp
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from src.code_version import GIT_COMMIT, code_version

ROOT = Path(__file__).resolve().parent.parent.parent  # of this project
SUFFIXES = {".py", ".sh", ".yaml", ".toml", ".txt"}
MAX_BYTES = 1_000_000
_NOT_CODE = {"data", "runs"}  # folders at the top that git ignores too


def copy_code(target: Path, exclude: Path, root: Path = ROOT) -> None:
    """Copies the project's small text files, as they are now, to `target`, without the results under `exclude`.

    In a git checkout these are the files that git tracks or would add; elsewhere all files except hidden ones and
    virtual environments.
    """
    target.mkdir(parents=True)
    for name in _listed_by_git(root) or _listed_by_walking(root):
        source = root / name
        if source.suffix not in SUFFIXES or not source.is_file() or source.stat().st_size > MAX_BYTES:
            continue  # a file that git tracks may have been deleted
        if _is_result(source, exclude, root):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target / name)
    (target / GIT_COMMIT).write_text((code_version() or "") + "\n", encoding="utf-8")


def n_changed(target: Path, root: Path = ROOT) -> int:
    """How many Python files of the project's `src` and top folder differ from the copy."""
    files = [*root.glob("*.py"), *(root / "src").rglob("*.py")]
    return sum(
        not (copy := target / file.relative_to(root)).is_file() or not filecmp.cmp(file, copy, shallow=False)
        for file in files
    )


def describe_environment(root: Path = ROOT) -> str:
    """Python, packages, git commit, uncommitted changes and the command line, as text."""
    packages = {f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return "\n".join(
        [
            f"command: {shlex.join(sys.argv)}",
            f"folder: {Path.cwd()}",
            f"python: {platform.python_version()} ({sys.executable})",
            f"platform: {platform.platform()}",
            f"git commit: {code_version() or 'none'}",
            "",
            "# packages",
            *sorted(packages, key=str.lower),
            "",
            "# uncommitted changes (git diff HEAD)",
            _git(root, "diff", "HEAD") or "none",
            "",
            "# untracked files",
            (_git(root, "ls-files", "--others", "--exclude-standard") or "none").rstrip(),
            "",
        ]
    )


def _is_result(source: Path, output_dir: Path, root: Path) -> bool:
    source, output_dir, root = source.resolve(), output_dir.resolve(), root.resolve()
    if not source.is_relative_to(output_dir):
        return False
    if not root.is_relative_to(output_dir):
        return True
    # `output_dir: .` contains the code as well: only the job folders beside it are results
    return re.match(r"\.?\d\d-\d\d-\d\d-", source.relative_to(output_dir).parts[0]) is not None


def _git(root: Path, *arguments: str) -> str:
    """The output of a git command; empty without git, outside of a checkout, and in one without a commit."""
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode(errors="replace") if result.returncode == 0 else ""


def _listed_by_git(root: Path) -> list[str]:
    return [name for name in _git(root, "ls-files", "-co", "--exclude-standard", "-z").split("\0") if name]


def _listed_by_walking(root: Path) -> Iterator[str]:
    for folder, subfolders, files in os.walk(root):
        at_top = Path(folder) == root
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".")
            and not (at_top and name in _NOT_CODE)
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        )
        yield from (str((Path(folder) / name).relative_to(root)) for name in sorted(files))
