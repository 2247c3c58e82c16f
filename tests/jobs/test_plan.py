"""The plan that is shown: a job file against what its folder has, and what is started then."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, run_command, start_command, wait_until
from hypothesis import given
from hypothesis import strategies as st
from results_helpers import make_experiment
from slurm_stub import SlurmStub

import submit_multiple
from src import config, experiment, yaml_io
from src.experiment import Status
from src.jobs import folders
from src.jobs.identity import identity
from src.results import read_experiments


def write_job(tmp_path: Path, name: str = "grid", **parameters: Any) -> Path:
    defaults = {
        "dataset": "sklearn/iris",
        "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"},
        "model": "linear",
        "train_length": 1,
        "seed_model": 1,
        "seed_training": 1,
    }
    path = tmp_path / f"{name}.yaml"
    details = {"name": name, "output_dir": str(tmp_path / "runs")}
    path.write_text(yaml_io.dump({"job_details": details, "parameters": defaults | parameters}))
    return path


def submit(*arguments: str | Path) -> int:
    return submit_multiple.main([*map(str, arguments), "-s", str(ROOT / "submit_cpu.sh"), "-y"])


def newest(tmp_path: Path, name: str = "grid") -> Path:
    folder = folders.find_job_folder(tmp_path / "runs", name)
    assert folder is not None
    return folder


def finish(folder: Path, status: Status = Status.DONE) -> None:
    experiment.write_state(folder, experiment.read_state(folder) | {"status": status})
    if status == Status.DONE:
        (folder / experiment.DONE).touch()


def started(stub: SlurmStub, since: int) -> list[str]:
    return [Path(call[-1]).parent.name for call in stub.calls[since:]]


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
    assert "20-01-01-grid is there: 2 new, 2 done, 1 queued, 1 failed" in said
    assert "What failed is left alone; -r starts it again." in said
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


def test_what_has_changed_and_what_left_the_file_is_told_and_stays(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]))
    submit(write_job(tmp_path, base_lr=[0.1, 0.2], momentum=0.5))
    said = capsys.readouterr().out
    assert "is there: 2 changed" in said
    assert "gets folders of its own, beside those of the earlier config, which stay" in said
    assert "1 experiment of the folder left the job file" in said
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


def test_experiments_stand_in_the_order_of_their_numbers_when_these_grow_a_digit(
    stub: SlurmStub, tmp_path: Path
) -> None:
    submit(write_job(tmp_path, seed_model=list(range(9))))
    submit(write_job(tmp_path, seed_model=list(range(12))))
    numbers = [folders.number(path) for path in folders.experiment_folders(newest(tmp_path))]
    assert numbers == list(range(12))


def test_code_that_has_changed_since_is_told(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, base_lr=[0.1]))
    (newest(tmp_path) / "code" / "train.py").write_text("# older\n")
    submit(write_job(tmp_path, base_lr=[0.1, 0.2]))
    assert "1 file of it changed since; -o or another name takes the new code" in capsys.readouterr().out


def test_while_squeue_does_not_answer_a_job_does_not_grow(stub: SlurmStub, tmp_path: Path) -> None:
    submit(write_job(tmp_path, base_lr=[0.1]))
    stub.squeue_is_down()
    assert submit(write_job(tmp_path, base_lr=[0.1, 0.2])) == 1
    assert len(folders.experiment_folders(newest(tmp_path))) == 1


# --- identity -----------------------------------------------------------------------------------------------


def test_an_identity_is_a_promise() -> None:
    """Written into no file, and yet what makes jobs grow and results be found again: it may not change."""
    assert identity({}) == "1:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert identity({"base_lr": 0.1, "seed_model": 3, "momentum": 0}) == (
        "1:275635f5964c9cf65b8eaa9baa6347a95fce4d689807e79cf029518a9c518a63"
    )


@given(st.sets(st.sampled_from(config.CHANGES_NUMBERS)), st.integers(0, 5))
def test_naming_defaults_or_writing_a_value_otherwise_changes_no_identity(named: set[str], seed: int) -> None:
    defaults = config.to_dict(config.Config())
    options = {"seed_model": seed, "data_splits_map": {"train": "train[:80%]", "test": "test"}}
    written = {key: defaults[key] for key in named if key not in options}
    same = {"seed_model": float(seed), "data_splits_map": "{'train': 'train[:80%]', 'test': 'test'}", "output_dir": "x"}
    assert identity(options) == identity(options | written) == identity(same | written)
    assert identity(options | {"seed_model": seed + 1}) != identity(options)
    assert identity(options | {"seed_model": None}) != identity(options)


# --- reuse --------------------------------------------------------------------------------------------------


def test_reuse_copies_what_another_job_has_finished_and_starts_the_rest(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(write_job(tmp_path, "first", base_lr=[0.1, 0.2, 0.3]))
    source = newest(tmp_path, "first") / "1_lr=0.2"
    options = {key: value for key, value in folders.options_of(source).items() if key != "output_dir"}
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
    assert folders.options_of(copy)["output_dir"] == str(copy)

    folders.delete_job_folder(source.parent)
    assert read_experiments(copy.parent, only_done=True).index.tolist() == [str(copy)]
    assert submit(write_job(tmp_path, "third", base_lr=[0.2]), "--reuse") == 0
    assert "Nothing is left to run." in capsys.readouterr().out


# --- retry by cause, more of sbatch's options, cancel -------------------------------------------------------


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


def test_cancel_ends_what_slurm_has_of_the_job_and_nothing_else(
    stub: SlurmStub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(write_job(tmp_path, "other"))
    submit(write_job(tmp_path, base_lr=[0.1, 0.2, 0.3]))
    stub.has("102", "RUNNING")
    stub.leave_queue("103")
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert submit_multiple.main(["--cancel", str(newest(tmp_path))]) == 1
    assert "1 running, 1 queued\n    2 SLURM jobs: 102, 104" in capsys.readouterr().out
    assert stub.calls_of("scancel") == []
    assert submit_multiple.main(["--cancel", str(newest(tmp_path)), "-y"]) == 0
    assert stub.calls_of("scancel") == ["102 104"]


def test_cancel_stops_a_local_run_and_starts_none_of_what_waits_in_it(tmp_path: Path) -> None:
    job = write_job(tmp_path, train_length=100_000, base_lr=[0.1, 0.2, 0.3])
    with start_command("submit_multiple.py", job, "--local", "1", "-y", start_new_session=True) as process:
        try:
            wait_until(lambda: bool(list(tmp_path.glob("runs/[0-9]*/*/stats.csv"))), process)
            done = run_command("submit_multiple.py", "--cancel", newest(tmp_path), "-y")
            assert done.returncode == 0, done.stderr
            assert "1 running\n    process " in done.stdout
            assert process.wait(timeout=120) == 128 + signal.SIGTERM
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said = [experiment.read_state(path) for path in folders.experiment_folders(newest(tmp_path))]
    assert [state["status"] for state in said] == ["failed", "pending", "pending"]
    assert said[0]["cause"] == "stopped by SIGTERM" and said[0]["saved_step"] > 0
