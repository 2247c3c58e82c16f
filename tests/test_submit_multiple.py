"""submit_multiple.py as a user meets it: what it prints, writes, submits, and what it exits with."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
from helpers import ROOT, run_command, run_fresh, start_command, stats_without_clock, wait_until
from job_helpers import finish, started, submit
from slurm_stub import SlurmStub

import submit_multiple
from src import experiment
from src.experiment import Status
from src.jobs import sbatch


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """Six experiments, 3 base_lr x 2 batch_size, whose folders go to `runs` beside it."""
    path = tmp_path / "grid.yaml"
    path.write_text(
        f"""
job_details: {{name: grid, output_dir: '{tmp_path / "runs"}'}}
parameters:
  dataset: sklearn/iris
  data_splits_map: {{train: 'train[:80%]', test: 'train[80%:]'}}
  model: linear
  train_length: 2
  seed_model: 1
  seed_training: 1
  base_lr: [0.1, 0.2, 0.3]
  batch_size: [16, 32]
"""
    )
    return path


def run(*arguments: str | Path) -> int:
    return submit_multiple.main([str(argument) for argument in arguments])


def job_folder(job_file: Path) -> Path:
    (folder,) = (job_file.parent / "runs").iterdir()
    return folder


def experiments(job_file: Path) -> list[Path]:
    return sorted(path for path in job_folder(job_file).iterdir() if (path / "spec.yaml").exists())


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder, with the time they were written and their bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# --- a new job --------------------------------------------------------------------------------------------


def test_a_job_is_written_and_each_experiment_submitted(job_file: Path, stub: SlurmStub) -> None:
    done = run_command(
        "submit_multiple.py", job_file, "-s", "submit_cpu.sh", "-y", env={**os.environ, "PATH": stub.path}
    )
    assert done.returncode == 0, done.stderr
    assert "6 experiments = 3 base_lr x 2 batch_size" in done.stdout
    assert "Submitted 6 experiments, from job 101 to job 106" in done.stdout
    folders = experiments(job_file)
    assert [path.name for path in folders[:2]] == ["0_lr=0.1+bs=16", "1_lr=0.1+bs=32"]
    assert [call[-1] for call in stub.calls] == [str(path / "spec.yaml") for path in folders]
    assert {call[-2] for call in stub.calls} == {str(ROOT / "submit_cpu.sh")}
    assert stub.calls[0][0] == "--job-name=grid-0_lr=0.1+bs=16"
    assert [experiment.read_state(path)["job_id"] for path in folders] == [str(i) for i in range(101, 107)]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(job_file.parent)
    assert run(job_file, "-d", "-s", ROOT / "submit_cpu.sh") == 0
    said = capsys.readouterr().out
    assert "6 experiments = 3 base_lr x 2 batch_size" in said
    assert "0_lr=0.1+bs=16" in said
    assert "sbatch --job-name=grid-0_lr=0.1+bs=16" in said
    assert everything(job_file.parent) == before
    assert run(job_file, "-d") == 0  # without saying where it will run


def test_help_and_a_dry_run_of_the_108_experiments_import_nothing_heavy() -> None:
    program = (
        "import contextlib, sys, submit_multiple\n"
        "with contextlib.suppress(SystemExit): submit_multiple.main(sys.argv[1:])\n"
        "print('imported:', *sys.modules)"
    )
    for arguments in (["--help"], ["jobs/linear-classifier-example.yaml", "-d"]):
        done = run_fresh("-c", program, *arguments)
        modules = done.stdout.split("imported:")[1].split()
        assert "src.jobs.specification" in modules
        assert not {"torch", "pandas", "numpy", "timm", "sklearn", "scipy", "matplotlib"} & set(modules)
    assert "108 experiments = 18 (base_lr, momentum) x 6 batch_size" in done.stdout


def test_every_mistake_is_reported_at_once_with_exit_code_2_and_nothing_written(tmp_path: Path) -> None:
    job = tmp_path / "bad.yaml"
    job.write_text(
        f"""
job_details: {{name: bad, output_dir: '{tmp_path / "runs"}'}}
parameters:
  learning_rate: 0.1
  base_lr: [0.1, 0.1]
  batch_size: big
  optim_alg: sdg
  train_length_unit: epochs
  dataset: libsmv/a9a
  model: tiny/transformer
  data_splits_map: {{test: test}}
  loss: log
  loss: mse
  momentum: 9**9**9**9
"""
    )
    done = run_command("submit_multiple.py", job, "--local", "2", "-y")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert [line.removeprefix(f"{job}:").split(":")[0] for line in lines] == [
        str(number) for number in (4, 5, 6, 7, 8, 9, 10, 11, 13, 14)
    ]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-y"], "name a submit script for SLURM"),
        (["-y", "-s", "submit_cpu.sh", "--local", "2"], "exclude each other"),
        (["-y", "--local", "0"], "must be a whole number, 1 or more"),
        (["-y", "--local", "2", "-o", "-r"], "choose one"),
        (["-y", "-s", "nowhere.sh"], "nowhere.sh: cannot be read: No such file"),
        (["-y", "-s", "pyproject.toml"], "sbatch needs a first line"),
        (["--local", "2"], "-y skips the question"),
        (["-y", "--local", "2", "-r"], "submit it without -r"),
    ],
)
def test_a_command_that_cannot_be_meant_says_what_to_do(job_file: Path, arguments: list[str], sentence: str) -> None:
    done = run_command("submit_multiple.py", job_file, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (job_file.parent / "runs").exists()


def test_without_slurm_the_way_to_run_here_is_named(
    job_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert submit(job_file) == 2
    assert "--local N runs the job here" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "submitted"), [("y", True), ("yes", True), ("n", False), ("", False)])
def test_nothing_is_written_before_the_question_is_answered_with_yes(
    job_file: Path, stub: SlurmStub, monkeypatch: pytest.MonkeyPatch, answer: str, submitted: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: (job_file.parent / "runs").exists() or answer)
    assert run(job_file, "-s", ROOT / "submit_cpu.sh") == (0 if submitted else 1)
    assert (job_file.parent / "runs").exists() == submitted
    assert len(stub.calls) == (6 if submitted else 0)


def test_a_folder_that_cannot_be_written_is_reported_in_a_sentence(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    (job_file.parent / "runs").write_text("a file, not a folder")
    for dry in ([], ["-d"]):
        assert submit(job_file, *dry) == 2
        said = capsys.readouterr().err
        assert f"{job_file.parent / 'runs'} is no folder; name another one in job_details" in said
        assert len(said.splitlines()) == 1


# --- sbatch fails, or the user stops ------------------------------------------------------------------------


def test_a_submission_that_fails_in_the_middle_says_what_was_submitted_and_how_to_resume(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.will("ok", "fail", "fail", "ok", "fail", "fail", "fail", "ok")
    assert submit(job_file) == 1
    said = capsys.readouterr().err
    assert "2_lr=0.2+bs=16: sbatch failed 3 times: sbatch: error: Batch job submission failed: no" in said
    assert "Submitted: 2, up to 1_lr=0.1+bs=32. Not submitted: 4, from 2_lr=0.2+bs=16 on." in said
    command = said.split("Resume with: python submit_multiple.py ")[1].split()
    stub.will()
    assert run(*command, "-y") == 0
    assert len(stub.queue) == 6
    assert len({line.split()[1] for line in stub.queue}) == 6  # no experiment twice


def test_a_submission_that_only_seemed_to_fail_is_not_sent_twice(job_file: Path, stub: SlurmStub) -> None:
    stub.will("ok", "lost", "ok")
    assert submit(job_file) == 0
    assert len(stub.queue) == 6
    assert [experiment.read_state(path)["job_id"] for path in experiments(job_file)] == [
        line.split()[0] for line in stub.queue
    ]


def test_ctrl_c_ends_the_submission_between_two_experiments(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    real = sbatch.submit

    def interrupted_once(experiments: list[Path], launch: sbatch.Launch, after: str | None) -> str:
        if experiments[0].name.startswith("2_"):
            os.kill(os.getpid(), signal.SIGINT)
        return real(experiments, launch, after)

    monkeypatch.setattr(sbatch, "submit", interrupted_once)
    assert submit(job_file) == 1
    said = capsys.readouterr().err
    assert "Stopped by Ctrl-C" in said
    assert "Submitted: 3, up to 2_lr=0.2+bs=16. Not submitted: 3" in said
    assert [bool(experiment.read_state(path).get("job_id")) for path in experiments(job_file)] == [True] * 3 + [
        False
    ] * 3
    assert signal.getsignal(signal.SIGINT) is before


# --- again: -r, -o ----------------------------------------------------------------------------------


@pytest.mark.parametrize("named_by", ["job file", "job folder"])
def test_retry_skips_what_is_done_queued_or_running_here(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str], named_by: str
) -> None:
    submit(job_file)
    done, _queued, running, failed, diverged, vanished = experiments(job_file)
    stub.leave_queue("101", "103", "104", "105", "106")
    finish(done)
    here = {"host": os.uname().nodename, "pid": os.getppid()}
    experiment.write_state(running, experiment.read_state(running) | {"status": "running", **here})
    finish(failed, Status.FAILED)
    finish(diverged, Status.DIVERGED)
    assert submit(job_file if named_by == "job file" else job_folder(job_file), "-r") == 0
    said = capsys.readouterr().out
    assert "6 experiments: 1 done, 1 running, 1 queued, 1 failed, 1 diverged, 1 lost; 3 to start again" in said
    assert "the code as it was when the job was first submitted" in said
    assert [call[-1] for call in stub.calls[6:]] == [str(path / "spec.yaml") for path in (failed, diverged, vanished)]
    assert experiment.status(failed) == Status.PENDING


def test_retry_with_nothing_left_to_do_submits_nothing(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    assert submit(job_file, "-r") == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert len(stub.calls) == 6


def test_retry_finds_the_folder_of_another_day(job_file: Path, stub: SlurmStub) -> None:
    submit(job_file)
    old = job_folder(job_file).rename(job_file.parent / "runs" / "20-01-01-grid")
    stub.leave_queue(*(line.split()[0] for line in stub.queue))
    assert submit(job_file, "-r") == 0
    assert {Path(call[-1]).parent.parent for call in stub.calls[6:]} == {old}


def test_retry_keeps_the_code_and_says_so_when_the_job_file_has_changed(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    (job_folder(job_file) / "code" / "train.py").write_text("# as it was\n")
    job_file.write_text(job_file.read_text() + "  momentum: 0.5\n")
    stub.leave_queue("101")
    assert submit(job_file, "-r") == 0
    assert "has changed since" in capsys.readouterr().out
    assert (job_folder(job_file) / "code" / "train.py").read_text() == "# as it was\n"


@pytest.mark.parametrize("option", ["-r", "-o"])
def test_when_squeue_does_not_answer_nothing_is_retried_or_deleted(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    submit(job_file)
    before = everything(job_folder(job_file))
    stub.squeue_is_down()
    assert submit(job_file, option) == 1
    assert "squeue does not answer" in capsys.readouterr().err
    assert everything(job_folder(job_file)) == before


def test_overwrite_asks_naming_the_finished_experiments_that_would_go(
    job_file: Path, stub: SlurmStub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    stub.leave_queue(*(line.split()[0] for line in stub.queue))
    for path in experiments(job_file)[:2]:
        finish(path)
    questions = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or "n")
    before = everything(job_folder(job_file))
    assert run(job_file, "-s", ROOT / "submit_cpu.sh", "-o") == 1
    assert "will be deleted, with 2 finished experiments" in capsys.readouterr().out
    assert questions == ["Delete and submit? [y/N] "]
    assert everything(job_folder(job_file)) == before

    assert submit(job_file, "-o") == 0
    assert {experiment.status(path) for path in experiments(job_file)} == {Status.PENDING}
    assert len(stub.calls) == 12


def test_overwrite_refuses_to_delete_what_is_queued(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    assert submit(job_file, "-o") == 2
    assert "cannot be deleted: 0_lr=0.1+bs=16 is queued, " in capsys.readouterr().err
    assert len(experiments(job_file)) == 6


@pytest.mark.parametrize("option", ["-r", "-o"])
def test_a_dry_run_of_a_retry_or_an_overwrite_changes_nothing(job_file: Path, stub: SlurmStub, option: str) -> None:
    submit(job_file)
    stub.leave_queue(*(line.split()[0] for line in stub.queue))
    finish(experiments(job_file)[0])
    before = everything(job_file.parent / "runs")
    assert submit(job_file, option, "-d") == 0
    assert everything(job_file.parent / "runs") == before
    assert len(stub.calls) == 6


# --- --local ------------------------------------------------------------------------------------------------


def test_a_local_grid_runs_to_its_end_and_its_experiments_give_the_same_numbers_alone(
    job_file: Path, tmp_path: Path, warm_local: None, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = run(job_file, "--local", "2", "-y"), capfd.readouterr()
    assert code == 0, said
    assert "6 experiments: 6 done" in said.out
    folders = experiments(job_file)
    assert {experiment.status(path) for path in folders} == {Status.DONE}
    alone = run_command("train.py", folders[0] / "spec.yaml", f"output_dir={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr
    assert stats_without_clock(tmp_path / "alone") == stats_without_clock(folders[0])


def test_a_local_grid_with_a_failing_experiment_continues_and_retry_runs_just_that_one(
    job_file: Path, warm_local: None, capfd: pytest.CaptureFixture[str]
) -> None:
    job_file.write_text(job_file.read_text().replace("0.3]", "1e30]") + "  max_allowed_loss: 1e3\n")
    assert run(job_file, "--local", "2", "-y") != 0
    first = capfd.readouterr()
    assert "4 done, 2 diverged" in first.out
    assert f"python submit_multiple.py -r {job_folder(job_file)} --local 2" in first.err
    times = {path: (path / "stats.csv").stat().st_mtime_ns for path in experiments(job_file)[:4]}
    run("-r", job_folder(job_file), "--local", "2", "-y")
    assert "6 experiments: 4 done, 2 diverged; 2 to start again" in capfd.readouterr().out
    assert {path: (path / "stats.csv").stat().st_mtime_ns for path in times} == times


_SLOW_UNTIL_HURRY_EXISTS = """
import pathlib, time, torch

class Linear(torch.nn.Linear):
    def __init__(self, num_classes, input_shape):
        super().__init__(*input_shape, num_classes)

    def forward(self, x):
        if not pathlib.Path(__file__).with_name("hurry").exists():
            time.sleep(0.1)
        return super().forward(x)
"""


def test_ctrl_c_stops_a_local_grid_which_retry_then_finishes(
    job_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_local: None
) -> None:
    (tmp_path / "slow.py").write_text(_SLOW_UNTIL_HURRY_EXISTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    slow = {"model: linear": "model: python/slow:Linear", "train_length: 2\n": "train_length: 20\n"}
    for fast, changed in slow.items():
        job_file.write_text(job_file.read_text().replace(fast, changed))
    with start_command("submit_multiple.py", job_file, "--local", "2", "-y", start_new_session=True) as process:
        wait_until(
            lambda: any(
                experiment.status(path.parent) == Status.RUNNING
                for path in job_file.parent.glob("runs/[0-9]*/*/state.json")
            ),
            process,
        )
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = "".join(process.communicate(timeout=120))
    assert process.returncode == 130, said
    assert "Resume with: python submit_multiple.py -r" in said
    assert Status.RUNNING not in {experiment.status(path) for path in experiments(job_file)}
    (tmp_path / "hurry").touch()
    assert run("-r", job_folder(job_file), "--local", "2", "-y") == 0
    assert {experiment.status(path) for path in experiments(job_file)} == {Status.DONE}


def test_a_script_that_slurms_warning_would_kill_is_warned_about(
    job_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "mine.sh"
    for last, warned in [
        ('exec python train.py "$1"', False),
        ("exec srun python train.py", False),
        ("python train.py", True),
    ]:
        script.write_text(f"#!/bin/bash\n#SBATCH --mem=1G\nmodule load python\n{last}\n# the end\n")
        assert run(job_file, "-s", script, "-d") == 0
        assert ("does not begin with exec" in capsys.readouterr().err) == warned


def test_a_users_module_that_is_missing_is_reported_before_anything_is_written(
    job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_file.write_text(job_file.read_text().replace("model: linear", "model: python/my_modles:Net"))
    assert run(job_file, "--local", "1", "-y") == 2
    assert "'python/my_modles:Net': there is no such module beside train.py" in capsys.readouterr().err
    assert not (job_file.parent / "runs").exists()


def test_a_module_that_is_missing_in_a_list_is_reported_too(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job_file.write_text(job_file.read_text() + "  metrics: [accuracy, python/my_metrix:Brier]\n")
    assert run(job_file, "-d") == 2
    assert "'python/my_metrix:Brier': there is no such module beside train.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("#!/bin/bash\n# SBATCH --mem=1G\nexec python\n", "mine.sh:2: SLURM does not read this line; write #SBATCH"),
        ("#!/bin/bash\n #SBATCH --mem=1G\nexec python\n", "mine.sh:2: SLURM does not read this line"),
        (
            "#!/bin/bash\ncd /\n#SBATCH --mem=1G\nexec python\n",
            "mine.sh:3: SLURM reads no #SBATCH line behind a command",
        ),
        ("#!/bin/bash\r\n#SBATCH --mem=1G\r\nexec python\r\n", "mine.sh: its lines end as on Windows"),
    ],
)
def test_a_script_whose_options_slurm_would_not_read_is_found_by_a_dry_run(
    job_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    (tmp_path / "mine.sh").write_bytes(text.encode())
    assert run(job_file, "-s", tmp_path / "mine.sh", "-d") == 2
    assert sentence in capsys.readouterr().err


def test_an_experiment_whose_folder_was_deleted_is_reported_by_retry_and_comes_back_without_it(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    stub.leave_queue(*(line.split()[0] for line in stub.queue))
    shutil.rmtree(experiments(job_file)[2])
    assert run(job_file, "-r", "-d") == 0
    again = job_folder(job_file) / "job.yaml"
    assert f"submitting {again} without -r writes and starts them" in capsys.readouterr().out
    assert submit(again) == 0
    assert started(stub, 6)[-1:] == ["6_lr=0.2+bs=16"]


def test_without_the_code_of_a_job_nothing_is_started(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(job_file)
    stub.leave_queue(*(line.split()[0] for line in stub.queue))
    shutil.rmtree(job_folder(job_file) / "code")
    assert submit(job_file, "-r") == 2
    assert "has no train.py, which the experiments run; bring the code back, or start over with -o" in (
        capsys.readouterr().err
    )
    assert len(stub.calls) == 6


def test_a_full_disk_is_reported_with_the_file_that_could_not_be_written(
    job_file: Path, stub: SlurmStub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "sendfile", full)
    assert submit(job_file) == 1
    said = capsys.readouterr().err
    assert said.startswith(str(job_file.parent / "runs")) and said.endswith(": No space left on device\n")
    assert list((job_file.parent / "runs").iterdir()) == []


def test_an_unknown_cause_is_answered_with_the_causes(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(job_file, "-r", "--only", "omm", "-d")
    assert "'omm' is not one of oom, timeout, node" in capsys.readouterr().err


def test_a_list_within_keyword_arguments_is_reported_as_one_value(
    job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = job_file.read_text().replace("model: linear", "model: timm/resnet18\n  model_kwargs: {width: [10, 20]}")
    job_file.write_text(grid)
    assert run(job_file, "-d") == 0
    assert (
        "grid.yaml:7: width is the list [10, 20] in each experiment; a grid is a list of dictionaries: [{width: 10}, ...]"
        in (capsys.readouterr().out)
    )


def test_a_base_in_a_job_file_is_answered_with_what_to_do(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job_file.write_text(job_file.read_text() + "  base: other.yaml\n")
    assert run(job_file, "-d") == 2
    assert "unknown option 'base'; a config file takes bases, a job file writes its options out" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("grown", [False, True])
def test_the_slower_one_of_two_submissions_starts_nothing_twice(
    job_file: Path, stub: SlurmStub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], grown: bool
) -> None:
    if grown:
        submit(job_file)
        job_file.write_text(job_file.read_text().replace("0.3]", "0.3, 0.4]"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "y" if submit(job_file) == 0 else "n")
    assert run(job_file, "-s", ROOT / "submit_cpu.sh") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "was written by another submission in the meantime; submit again" in said
    assert len(stub.calls) == len(experiments(job_file)) == (8 if grown else 6)
