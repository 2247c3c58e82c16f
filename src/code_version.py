"""Which version of this code runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

GIT_COMMIT = "GIT_COMMIT"  # in a snapshot of the code: the commit that it was taken from
ROOT = Path(__file__).resolve().parent.parent


def code_version(root: Path = ROOT) -> str | None:
    """The git commit of the code in `root`, with '-dirty' if files differ from it; None outside of git.

    A job's snapshot is no git checkout; its file GIT_COMMIT names the commit it was taken from.
    """
    if (root / GIT_COMMIT).exists():
        return (root / GIT_COMMIT).read_text(encoding="utf-8").strip() or None
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):  # no git program, or a repository without a commit
        return None
    return commit.strip() + ("-dirty" if changes.strip() else "")
