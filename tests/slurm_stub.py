"""Stand-ins for sbatch, squeue, scontrol, sacct and scancel: shell scripts that note what they are called with and do as they are told."""

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
id=$(($(cat last_id) + 1))
last=
for argument in "$@"; do
  case $argument in
    --comment=*) comment=${argument#--comment=};;
    --array=0-*) last=${argument#--array=0-}; last=${last%%[%]*};;
  esac
done
if [ -e limit ] && [ $(($(wc -l < queue) + ${last:-0} + 1)) -gt "$(cat limit)" ]; then
  echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
  echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)" >&2
  exit 1
fi
echo $id > last_id
if [ "$last" ]; then seq -f "${id}_%.0f $comment" 0 "$last" >> queue; else echo "$id $comment" >> queue; fi
[ "$outcome" = lost ] && { echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1; }
[ "$outcome" = parsable ] && { echo "$id;cluster"; exit 0; }
echo "Submitted batch job $id"
"""

_SQUEUE = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$@" >> squeue_calls
[ -e squeue_is_down ] && { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
case "$*" in
  *%T*) awk 'FILENAME == "states" {state[$1] = $2; reason[$1] = $3; next}
             {id = $1; sub(/^[^ ]+ /, ""); print id "|" (id in state ? state[id] "|" reason[id] : "PENDING|Priority") "|" $0}' \
            states queue;;
  *) cat queue;;
esac
"""

_SCONTROL = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$@" >> scontrol_calls
echo "MaxArraySize            = $(cat max_array_size)"
"""

_SACCT = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$@" >> sacct_calls
[ -e accounts ] || { echo "Slurm accounting storage is disabled" >&2; exit 1; }
cat accounts
"""

_SCANCEL = """#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$@" >> scancel_calls
for id in "$@"; do sed -i "/^$id[ _]/d" queue; done
"""


class SlurmStub:
    """A folder to be put first in PATH; job ids count from 101."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        commands = {"sbatch": _SBATCH, "squeue": _SQUEUE, "scontrol": _SCONTROL, "sacct": _SACCT, "scancel": _SCANCEL}
        for name, text in commands.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "last_id").write_text("100")
        for name in ("outcomes", "calls", "queue", "states", *(f"{command}_calls" for command in commands)):
            (folder / name).touch()
        self.limits(array_size=1001)

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def will(self, *outcomes: str) -> None:
        """What the next calls of sbatch do."""
        (self.folder / "outcomes").write_text("".join(f"{outcome}\n" for outcome in outcomes))

    def limits(self, array_size: int | None = None, jobs: int | None = None) -> None:
        """How large an array may be, and how many jobs and tasks the queue takes."""
        for name, value in {"max_array_size": array_size, "limit": jobs}.items():
            if value is not None:
                (self.folder / name).write_text(str(value))

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

    def has(self, job_id: str, state: str, reason: str = "None", comment: str = "") -> None:
        """squeue tells this of a job; one that sbatch was not called for gets its place in the queue."""
        with (self.folder / "states").open("a") as states:
            states.write(f"{job_id} {state} {reason}\n")
        if job_id not in [line.split()[0] for line in self.queue]:
            with (self.folder / "queue").open("a") as queue:
                queue.write(f"{job_id} {comment}\n")

    def accounts(self, rows: dict[str, str]) -> None:
        """sacct tells of these jobs: job id -> `STATE|code:signal`."""
        (self.folder / "accounts").write_text("".join(f"{job_id}|{row}\n" for job_id, row in rows.items()))

    def calls_of(self, command: str) -> list[str]:
        """What squeue, sacct or scancel was called with."""
        return (self.folder / f"{command}_calls").read_text().splitlines()
