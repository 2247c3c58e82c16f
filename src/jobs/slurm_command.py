"""Running one SLURM command, in a clean environment and with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys

TIMEOUT = 120  # seconds; a controller that hangs answers sbatch after 10 s, a bad SLURM_CONF after 60 s

# A job that is submitted from inside another one would inherit its SLURM_* variables, CPU binding included.
# Kept is what users set in their shell's start file to say where they may compute.
_KEPT = ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS")
_REMOVED = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")  # SQUEUE_STATES would hide jobs from us


class SlurmError(RuntimeError):
    """SLURM refused or did not answer; the message has its reason."""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """The result of a SLURM command, successful or not; exit code 124 after a timeout, 127 if it cannot be started."""
    environment = {k: value for k, value in os.environ.items() if k in _KEPT or not k.startswith(_REMOVED)}
    environment["EXPERIMENT_PYTHON"] = sys.executable  # what the submit scripts start
    try:
        # A new session, because Ctrl-C must not reach an sbatch whose job may be accepted already.
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {TIMEOUT} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} cannot be started: {error.strerror}")


def reason(result: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed: its output in one line."""
    lines = (result.stderr + result.stdout).strip().splitlines()
    return " ".join(line.strip() for line in lines) or f"exit code {result.returncode}"
