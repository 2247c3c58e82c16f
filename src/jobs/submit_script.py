"""What is wrong with a submit script, before SLURM gets it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from src.config import ConfigError


def check_script(script: Path, in_packs: bool, is_dry_run: bool) -> None:
    """Prints a warning, or raises ConfigError where the script would not do what it says."""
    try:
        text = script.read_bytes().decode(errors="replace")
    except OSError as error:
        raise ConfigError([f"{script}: cannot be read: {error.strerror}"]) from None
    if not text.startswith("#!"):
        raise ConfigError([f"{script}: not a submit script: sbatch needs a first line like #!/bin/bash"])
    if "\r" in text:
        raise ConfigError(
            [f"{script}: its lines end as on Windows (CRLF), which sbatch rejects; dos2unix converts them"]
        )
    if ignored := _ignored_options(script, text):
        raise ConfigError(ignored)
    commands = [line.strip() for line in text.splitlines() if _is_command(line)]
    if not commands or not commands[-1].startswith("exec "):
        print(
            f"warning: {script}: its last command does not begin with exec, so SLURM's signal before the time "
            "limit ends the script and does not reach Python: no state is saved; see submit_cpu.sh",
            file=sys.stderr,
        )
    if in_packs and '"$@"' not in text and "${@}" not in text:
        raise ConfigError([f'{script}: does not pass "$@" to train.py, and --pack needs that; see submit_cpu.sh'])
    if not shutil.which("sbatch") and not is_dry_run:
        raise ConfigError(["sbatch is not found, so this machine cannot submit to SLURM; --local N runs the job here"])


def _is_command(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _ignored_options(script: Path, text: str) -> list[str]:
    """A sentence for each line that looks like an option of sbatch, and that sbatch takes for a comment."""
    problems, has_begun = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*#\s*SBATCH\s+-", line, re.IGNORECASE):
            if not line.startswith("#SBATCH"):
                way_out = "write #SBATCH at its beginning, or ##SBATCH if it is a comment"
                problems.append(f"{script}:{number}: SLURM does not read this line; {way_out}")
            elif has_begun:
                problems.append(f"{script}:{number}: SLURM reads no #SBATCH line behind a command; move it up")
        has_begun = has_begun or _is_command(line)
    return problems
