"""Stand-ins for sbatch and squeue: shell scripts that note what they are called with and do as they are told."""

from __future__ import annotations

import os
from pathlib import Path

_SBATCH = """#!/bin/sh
# `outcomes` has a line a call: ok, fail, or lost (accepted, and yet an error); ok when it is used up
cd "$(dirname "$0")" || exit 9
outcome=$(head -n 1 outcomes); sed -i 1d outcomes
for argument in "$@"; do printf '%s\\n' "$argument"; done >> calls; echo -- >> calls
env > environment
[ "$outcome" = fail ] && { echo "sbatch: error: Batch job submission failed: no" >&2; exit 1; }
id=$(($(cat last_id) + 1)); echo $id > last_id
for argument in "$@"; do case $argument in --comment=*) echo "$id ${argument#--comment=}" >> queue;; esac; done
[ "$outcome" = lost ] && { echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1; }
[ "$outcome" = parsable ] && { echo "$id;cluster"; exit 0; }
echo "Submitted batch job $id"
"""

_SQUEUE = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$@" >> squeue_calls
[ -e squeue_is_down ] && { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
cat queue
"""


class SlurmStub:
    """A folder to be put first in PATH; job ids count from 101."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        for name, text in {"sbatch": _SBATCH, "squeue": _SQUEUE}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "last_id").write_text("100")
        for name in ("outcomes", "calls", "queue", "squeue_calls"):
            (folder / name).touch()

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def will(self, *outcomes: str) -> None:
        """What the next calls of sbatch do."""
        (self.folder / "outcomes").write_text("".join(f"{outcome}\n" for outcome in outcomes))

    def squeue_is_down(self) -> None:
        (self.folder / "squeue_is_down").touch()

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call of sbatch."""
        text = (self.folder / "calls").read_text()
        return [call.splitlines() for call in text.split("--\n") if call]

    @property
    def environment(self) -> dict[str, str]:
        """What sbatch had in its environment when it was last called."""
        lines = (self.folder / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def queue(self) -> list[str]:
        return (self.folder / "queue").read_text().splitlines()

    def leave_queue(self, *job_ids: str) -> None:
        """The jobs end: squeue does not know them any more."""
        left = [line for line in self.queue if line.split()[0] not in job_ids]
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in left))
