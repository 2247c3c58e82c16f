"""The plan that is shown: a job file compared with its folder, and what is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from job_helpers import finish, newest, started, submit, write_job
from results_helpers import make_experiment
from slurm_stub import SlurmStub

from src import experiment
from src.experiment import Status
from src.jobs import folders
from src.jobs.overview import overview
from src.jobs.states import read_outcomes
from src.results import read_experiments

# --- a job file that has grown or changed -----------------------------------------------------------------


def test_a_job_file_that_grew_by_a_value_adds_only_the_new_ones_to_its_folder_of_any_day(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1, 0.3], batch_size=[16, 32]))
    old = newest(tmp_path).rename(tmp_path / "runs" / "20-01-01-grid")
    stub.leave_queue("101", "102", "103")
    finish(old / "0_lr=0.1+bs=16")
    finish(old / "1_lr=0.1+bs=32", Status.FAILED)
    finish(old / "2_lr=0.3+bs=16")
    before = {path: path.read_bytes() for path in old.glob("[0-9]*/*")}
    capsys.readouterr()

    assert submit(write_job(tmp_path, base_lr=[0.03, 0.1, 0.3], batch_size=[16, 32])) == 0
    said = capsys.readouterr().out
    assert "6 experiments = 3 base_lr x 2 batch_size" in said
    assert "20-01-01-grid exists: 2 new, 2 done, 1 queued, 1 failed" in said
    assert "Failed experiments are not started; -r starts them again." in said
    assert "They run the code as it was when the job was first submitted." in said
    assert started(stub, 4) == ["4_lr=0.03+bs=16", "5_lr=0.03+bs=32"]
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert "0.03" in (old / "job.yaml").read_text()
    assert "0.03" not in (old / "job-1.yaml").read_text()

    assert submit(write_job(tmp_path, base_lr=[0.03, 0.1, 0.3], batch_size=[16, 32])) == 0
    assert "Nothing to do." in capsys.readouterr().out
    assert len(stub.calls) == 6


def test_what_was_never_submitted_is_missing_too(stub: SlurmStub, tmp_path: Path) -> None:
    stub.will("ok", "fail", "fail", "fail")
    job = write_job(tmp_path, base_lr=[0.1, 0.2, 0.3])
    assert submit(job) == 1
    n_calls = len(stub.calls)
    stub.will()
    assert submit(job) == 0
    assert started(stub, n_calls) == ["1_lr=0.2", "2_lr=0.3"]


def test_changed_experiments_and_those_removed_from_the_file_are_reported_and_kept(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]))
    submit(write_job(tmp_path, base_lr=[0.1, 0.2], momentum=0.5))
    said = capsys.readouterr().out
    assert "exists: 2 changed" in said
    assert "get new folders; the folders with the earlier config are kept" in said
    assert "The job file no longer contains 1 experiment of the folder; their files are kept." in said
    assert started(stub, 3) == ["3_lr=0.1", "4_lr=0.2"]
    assert len(folders.experiment_folders(newest(tmp_path))) == 5


def test_options_that_change_no_number_make_no_new_experiment_unless_the_grid_runs_over_them(
    stub: SlurmStub, tmp_path: Path
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1, 0.2]))
    submit(write_job(tmp_path, base_lr=[0.1, 0.2], log_interval=50, momentum=0.9))  # 0.9 is its default
    assert len(stub.calls) == 2
    submit(write_job(tmp_path, "speed", num_workers=[0, 1]))
    submit(write_job(tmp_path, "speed", num_workers=[0, 1, 2]))
    assert started(stub, 2) == ["0_num_workers=0", "1_num_workers=1", "2_num_workers=2"]


def test_experiments_are_in_the_order_of_their_numbers_when_these_grow_a_digit(stub: SlurmStub, tmp_path: Path) -> None:
    submit(write_job(tmp_path, seed_model=list(range(9))))
    submit(write_job(tmp_path, seed_model=list(range(12))))
    numbers = [folders.number(path) for path in folders.experiment_folders(newest(tmp_path))]
    assert numbers == list(range(12))


def test_code_that_has_changed_since_is_reported(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1]))
    (newest(tmp_path) / "code" / "train.py").write_text("# older\n")
    submit(write_job(tmp_path, base_lr=[0.1, 0.2]))
    assert "; 1 file changed since, and -o or another job name takes the new code" in capsys.readouterr().out


def test_while_squeue_does_not_answer_a_job_does_not_grow(stub: SlurmStub, tmp_path: Path) -> None:
    submit(write_job(tmp_path, base_lr=[0.1]))
    stub.squeue_is_down()
    assert submit(write_job(tmp_path, base_lr=[0.1, 0.2])) == 1
    assert len(folders.experiment_folders(newest(tmp_path))) == 1


# --- experiments that the calling program ended ------------------------------------------------------------


@pytest.fixture
def pruned(stub: SlurmStub, tmp_path: Path) -> Path:
    """A job folder with one done, one ended and one failed experiment, none of them in the queue."""
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]))
    stub.leave_queue("101", "102", "103")
    statuses = (Status.DONE, Status.ENDED, Status.FAILED)
    for path, status in zip(folders.experiment_folders(newest(tmp_path)), statuses, strict=True):
        finish(path, status)
    return newest(tmp_path)


@pytest.mark.parametrize("options", [[], ["--only", "stopped", "--only", "lost", "--only", "exception"]])
def test_an_ended_experiment_is_reported_and_not_started_by_retry(
    stub: SlurmStub, pruned: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert submit(pruned, "-r", *options) == 0
    printed = capsys.readouterr().out
    assert "3 experiments: 1 done, 1 ended, 1 failed" in printed and "1 to start again" in printed
    assert "1 experiment ended by the calling program: not started again." in printed
    assert started(stub, 3) == ["2_lr=0.3"]
    assert overview(pruned, read_outcomes(folders.experiment_folders(pruned)))[1] == (
        "  1 ended by the calling program, and not started again by -r"
    )


def test_an_ended_experiment_is_not_started_by_growing_its_job_and_not_reused_as_finished(
    stub: SlurmStub, pruned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3, 0.4])) == 0
    assert f"{pruned.name} exists: 1 new, 1 done, 1 ended, 1 failed" in capsys.readouterr().out
    assert started(stub, 3) == ["3_lr=0.4"]
    assert submit(write_job(tmp_path, "other", base_lr=[0.1, 0.2]), "--reuse") == 0
    assert started(stub, 4) == ["1_lr=0.2"]


def test_an_ended_experiment_does_not_keep_its_job_from_being_overwritten(
    stub: SlurmStub, pruned: Path, tmp_path: Path
) -> None:
    assert submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]), "-o") == 0
    assert started(stub, 3) == ["0_lr=0.1", "1_lr=0.2", "2_lr=0.3"]


# --- reuse --------------------------------------------------------------------------------------------------


def test_reuse_copies_what_another_job_has_finished_and_starts_the_rest(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, "first", base_lr=[0.1, 0.2, 0.3]))
    source = newest(tmp_path, "first") / "1_lr=0.2"
    options = {key: value for key, value in experiment.read_options(source).items() if key != "output_dir"}
    make_experiment(tmp_path / "finished", options)
    (tmp_path / "finished" / experiment.BEST_CHECKPOINT).write_bytes(b"weights")
    shutil.copytree(tmp_path / "finished", source, dirs_exist_ok=True)
    capsys.readouterr()

    assert submit(write_job(tmp_path, "second", base_lr=[0.05, 0.2, 0.3]), "--reuse") == 0
    assert f"1 finished experiment of {source.parent} reused by copy; 2 to run" in capsys.readouterr().out
    assert started(stub, 3) == ["0_lr=0.05", "2_lr=0.3"]
    copy = newest(tmp_path, "second") / "1_lr=0.2"
    assert experiment.read_state(copy)["reused_from"] == str(source)
    assert (copy / experiment.STATS).read_bytes() == (source / experiment.STATS).read_bytes()
    assert (copy / experiment.BEST_CHECKPOINT).samefile(source / experiment.BEST_CHECKPOINT)
    assert experiment.read_options(copy)["output_dir"] == str(copy)

    folders.delete_job_folder(source.parent)
    assert read_experiments(copy.parent, only_done=True).index.tolist() == [str(copy)]
    assert submit(write_job(tmp_path, "third", base_lr=[0.2]), "--reuse") == 0
    assert "Nothing is left to run." in capsys.readouterr().out


# --- retry by cause, more of sbatch's options -------------------------------------------------------


def test_retry_by_cause_starts_exactly_those_with_other_options_of_sbatch(stub: SlurmStub, tmp_path: Path) -> None:
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3, 0.4]))
    stub.leave_queue("101", "102", "103", "104")
    out_of_memory, killed, broken, _ = folders.experiment_folders(newest(tmp_path))
    for folder, cause in {out_of_memory: "RuntimeError: CUDA out of memory", broken: "KeyError: 3"}.items():
        experiment.write_state(folder, experiment.read_state(folder) | {"status": "failed", "cause": cause})
    stub.accounts({"102": "OUT_OF_MEMORY|0:125"})
    assert submit(newest(tmp_path), "-r", "--only", "oom", "--mem", "32G", "--sbatch=--gres=gpu:2 --nice=5") == 0
    assert started(stub, 4) == [out_of_memory.name, killed.name]
    assert {"--mem=32G", "--gres=gpu:2", "--nice=5"} <= set(stub.calls[4])


def test_only_names_a_cause_and_needs_retry(stub: SlurmStub, tmp_path: Path) -> None:
    job = write_job(tmp_path)
    for arguments in (["-r", "--only", "memory"], ["--only", "oom"], ["-r", "--reuse"]):
        with pytest.raises(SystemExit) as exit_:
            submit(job, *arguments)
        assert exit_.value.code == 2
