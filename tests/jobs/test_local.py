"""--local: the one process that it starts, and what Ctrl-C does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT

from src.jobs import local

_NOTES_ITS_ARGUMENTS = """
import json, os, pathlib, sys
words = sys.argv[1:]
if words[0].startswith("@"):
    words = ["from file", *pathlib.Path(words[0][1:]).read_text().splitlines()]
pathlib.Path(__file__).with_name("words.json").write_text(json.dumps([os.getcwd(), *words]))
sys.exit(5)
"""


def job_with(train: str, tmp_path: Path) -> Path:
    """A job folder whose train.py is this program."""
    (tmp_path / "job" / "code").mkdir(parents=True)
    (tmp_path / "job" / "code" / "train.py").write_text(train)
    return tmp_path / "job"


def words(job: Path) -> list[str]:
    return json.loads((job / "code" / "words.json").read_text())


def test_one_process_gets_all_specs_and_its_exit_code_is_returned(tmp_path: Path) -> None:
    job = job_with(_NOTES_ITS_ARGUMENTS, tmp_path)
    assert local.run_local(job, [job / "0_lr=1", job / "1_lr=2"], 3) == 5
    assert words(job) == [str(Path.cwd()), f"{job}/0_lr=1/spec.yaml", f"{job}/1_lr=2/spec.yaml", "--parallel", "3"]


def test_more_specs_than_a_command_line_holds_go_through_a_file(tmp_path: Path) -> None:
    job = job_with(_NOTES_ITS_ARGUMENTS, tmp_path)
    experiments = [job / f"{i}_{'x' * 100}" for i in range(5000)]
    local.run_local(job, experiments, 2)
    assert words(job)[1:] == ["from file", *(f"{path}/spec.yaml" for path in experiments), "--parallel", "2"]
    assert [path.name for path in job.iterdir()] == ["code"]  # the file is gone


@pytest.mark.parametrize(("interrupts", "code"), [(1, 130), (2, 128 + signal.SIGTERM)])
def test_ctrl_c_lets_train_py_stop_by_itself_and_a_second_one_ends_it(
    tmp_path: Path, interrupts: int, code: int
) -> None:
    # takes its time to stop, as an experiment that saves its state does
    slow = "import signal, sys, time\ncame = []\nsignal.signal(signal.SIGINT, lambda *a: came.append(a))\n"
    slow += "print('up', flush=True)\nwhile not came: time.sleep(0.01)\n" + (
        "sys.exit(130)\n" if interrupts == 1 else "time.sleep(60)\n"
    )
    job = job_with(slow, tmp_path)
    program = (
        f"from pathlib import Path\nfrom src.jobs.local import run_local\nprint(run_local(Path({str(job)!r}), [], 1))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        for _ in range(interrupts):
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to both
        assert process.stdout.read() == f"{code}\n"
