"""python train.py, as a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run_command, run_fresh, start_command, stats_without_clock, wait_until

from src import yaml_io
from src.experiment import Status, read_state, status

SPEC = {
    "dataset": "sklearn/digits",
    "data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"},
    "model": "linear",
    "train_length": 2,
    "seed_model": 0,
    "seed_training": 0,
    "base_lr": 0.1,
}


def spec(folder: Path, **changes: object) -> Path:
    """Writes the spec.yaml of an experiment in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(yaml_io.dump(SPEC | {"output_dir": str(folder)} | changes))
    return path


def test_a_config_with_overrides_runs_in_a_new_folder(tmp_path: Path) -> None:
    config = tmp_path / "cfg.yaml"
    config.write_text(f"base: {ROOT / 'configs' / 'digits_lenet.yaml'}\nmodel: linear\n")
    overrides = ("train_length=1", "base_lr=1e-1", "data_splits_map.val=train[:10%]")
    for run, expected in ((run_fresh, "cfg"), (run_command, "cfg-2")):
        done = run(ROOT / "train.py", config, *overrides, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (folder,) = (tmp_path / "runs").glob(f"*-{expected}")
        assert str(folder.relative_to(tmp_path)) in done.stdout and "test/last/accuracy" in done.stdout
        record = yaml_io.read(folder / "config.yaml").data
        assert (record["model"], record["base_lr"], record["train_length"]) == ("linear", 0.1, 1)
        assert set(record["data_split_sizes"]) == {"train", "val", "test"}


def test_mistakes_are_told_at_once_with_their_place_and_without_torch(tmp_path: Path) -> None:
    config = tmp_path / "cfg.yaml"
    config.write_text("dataset: sklearn/digits\nbase_rl: 0.1\nbatch_size: many\n")
    script = (
        f"import runpy, sys; sys.argv = ['train.py', {str(config)!r}, 'optim_alg=sdg']\n"
        "try:\n    runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as error:\n    print(error.code, 'torch' in sys.modules)\n"
    )
    done = run_fresh("-c", script)
    assert done.stdout.split() == ["2", "False"]
    lines = done.stderr.splitlines()
    assert f"{config}:2: unknown option 'base_rl'; did you mean 'base_lr'?" in lines
    assert f"{config}:3: batch_size: 'many' is not a whole number" in lines
    assert any(line.startswith("command line: unknown optim_alg 'sdg'; did you mean 'sgd'?") for line in lines)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data_splits_map": {"train": "train[:5000]"}}, "'train' has 1797 examples"),
        ({"model": "tiny/lenet", "dataset": "sklearn/iris"}, "model_input_shape"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"dataset": "libsvm/no_such_file"}, "no_such_file"),
    ],
)
def test_what_only_the_data_can_tell_is_one_sentence_too(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    done = run_command("train.py", spec(tmp_path / "run", **changes))
    assert done.returncode == 1
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert status(tmp_path / "run") == Status.FAILED and sentence in read_state(tmp_path / "run")["cause"]


def test_a_bad_spec_of_an_experiment_is_noted_in_its_state(tmp_path: Path) -> None:
    done = run_command("train.py", spec(tmp_path / "run", base_lr="fast"))
    assert done.returncode == 2
    assert "base_lr" in read_state(tmp_path / "run")["cause"]


def test_a_diverged_run_says_so_and_has_its_exit_code(tmp_path: Path) -> None:
    done = run_command("train.py", spec(tmp_path / "run", base_lr=1e30))
    assert done.returncode == 3 and "diverged" in done.stderr
    assert status(tmp_path / "run") == Status.DIVERGED


def test_a_folder_that_was_moved_goes_on_where_it_is_now(tmp_path: Path) -> None:
    spec(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    assert run_command("train.py", tmp_path / "after" / "spec.yaml").returncode == 0
    assert (tmp_path / "after" / "done").exists() and not (tmp_path / "before").exists()


def test_a_done_experiment_is_not_taken_for_one_of_another_config(tmp_path: Path) -> None:
    path = spec(tmp_path / "run", seed_model=None)
    assert run_command("train.py", path).returncode == 0
    assert run_command("train.py", path).returncode == 0  # a null seed goes with the one that was drawn
    other = run_command("train.py", path, "train_length=3")
    assert other.returncode == 2 and "done, with another config (train_length: 2 -> 3)" in other.stderr
    assert run_command("train.py", path, "train_length=3", "resume=never").returncode == 0
    assert len((tmp_path / "run" / "stats.csv").read_text().splitlines()) == 4


def test_two_experiments_never_share_a_folder(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(
            f"dataset: sklearn/iris\ndata_splits_map: {{train: train}}\noutput_dir: {tmp_path}/run\n"
        )
    for words in ((), (f"output_dir={tmp_path}/other",)):
        done = run_command("train.py", tmp_path / "a.yaml", tmp_path / "b.yaml", *words)
        assert done.returncode == 2 and "output_dir" in done.stderr
    assert not (tmp_path / "run").exists() and not (tmp_path / "other").exists()


def test_files_of_another_kind_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for arguments, sentence in [
        (["train.py", "jobs/digits-example.yaml"], "is a job file; python submit_multiple.py"),
        (["submit_multiple.py", "configs/digits_lenet.yaml", "-d"], "is the config of one experiment; python train.py"),
        (["train.py", spec(tmp_path / "run").parent], f"did you mean {tmp_path}/run/spec.yaml?"),
        (["submit_multiple.py", tmp_path / "run", "-d"], "is a folder; -r resumes a job's folder"),
    ]:
        done = run_command(*arguments)
        assert done.returncode == 2 and sentence in done.stderr, done.stderr


def test_a_reader_that_reads_no_further_is_no_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} train.py {spec(tmp_path / 'run')} | head -n 0; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "run" / "done").exists()


def test_a_done_experiment_is_not_run_again(tmp_path: Path) -> None:
    path = spec(tmp_path / "run")
    assert run_command("train.py", path).returncode == 0
    before = (tmp_path / "run" / "stats.csv").read_bytes()
    again = run_command("train.py", path)
    assert again.returncode == 0 and "done already" in again.stdout
    assert (tmp_path / "run" / "stats.csv").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_stop_signal_saves_the_state_and_is_told_by_the_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    path = spec(tmp_path / "run", train_length=100_000)
    process = start_command("train.py", path)
    wait_until((tmp_path / "run" / "stats.csv").exists, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors and f"python train.py {path}" in errors
    assert (tmp_path / "run" / "checkpoint.pt").exists() and not (tmp_path / "run" / "done").exists()
    state = read_state(tmp_path / "run")
    assert state["status"] == "failed" and state["cause"] == f"stopped by {number.name}"


def test_ctrl_c_and_then_the_rest_is_the_same_as_one_run(tmp_path: Path) -> None:
    assert run_command("train.py", spec(tmp_path / "whole", train_length=40)).returncode == 0
    path = spec(tmp_path / "parts", train_length=40)
    process = subprocess.Popen(
        [sys.executable, "train.py", path], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until((tmp_path / "parts" / "stats.csv").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    assert run_command("train.py", path).returncode == 0
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")


def test_several_experiments_give_the_bytes_of_each_run_alone(tmp_path: Path) -> None:
    models = ("linear", "tiny/lenet", "linear/no_bias")
    for number, model in enumerate(models):
        assert run_command("train.py", spec(tmp_path / f"alone{number}", model=model)).returncode == 0
    paths = [spec(tmp_path / f"base_lr={number}", model=model) for number, model in enumerate(models)]
    done = run_command("train.py", *paths, "--parallel", "2")
    assert done.returncode == 0, done.stderr
    for number in range(3):
        assert status(tmp_path / f"base_lr={number}") == Status.DONE
        assert stats_without_clock(tmp_path / f"alone{number}") == stats_without_clock(tmp_path / f"base_lr={number}")


def test_a_failing_experiment_harms_no_other_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "killed_model.py").write_text(
        "import os, signal\ndef build(num_classes, input_shape):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = [
        spec(tmp_path / "bad", data_splits_map={"train": "nothing"}),
        spec(tmp_path / "killed", model="python/killed_model:build"),
        spec(tmp_path / "good"),
    ]
    done = run_command("train.py", *paths, "--parallel", "2", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    states = {name: read_state(tmp_path / name) for name in ("bad", "killed", "good")}
    assert [states[name]["status"] for name in states] == ["failed", "failed", "done"]
    assert states["killed"]["cause"] == "killed by SIGKILL"
    for name, state in states.items():
        assert f"{name}: {'done' if name == 'good' else 'failed: ' + state['cause']}" in done.stdout


def test_ctrl_c_stops_all_experiments_of_a_worker_and_starts_no_more(tmp_path: Path) -> None:
    paths = [spec(tmp_path / str(number), train_length=100_000) for number in range(4)]
    process = start_command("train.py", *paths, "--parallel", "2")
    wait_until(lambda: all((tmp_path / name / "stats.csv").exists() for name in "01"), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    for name in "01":
        assert (
            read_state(tmp_path / name)["cause"] == "stopped by SIGINT" and (tmp_path / name / "checkpoint.pt").exists()
        )
    for name in "23":
        assert not (tmp_path / name / "state.json").exists()


@pytest.mark.parametrize("name", ["job.yaml", "thesis.txt", "config.yaml"])
def test_a_folder_with_files_that_are_no_experiments_is_rejected_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    config, folder = tmp_path / "cfg.yaml", tmp_path / "mine"
    config.write_text(yaml_io.dump(SPEC | {"output_dir": str(folder)}))
    folder.mkdir()
    (folder / name).write_text("mine")
    done = run_command("train.py", config)
    assert done.returncode == 1
    assert f"has files that are no experiment's, such as {name}; name an empty or a new folder" in done.stderr
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]


def test_a_log_whose_reader_has_gone_ends_no_run_and_prints_no_error(tmp_path: Path) -> None:
    path = spec(tmp_path / "run", log_to_stdout=True, log_interval=1)
    command = f"{sys.executable} train.py {path} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")
    assert status(path.parent) == Status.DONE


def test_a_dry_run_whose_reader_has_gone_prints_no_error() -> None:
    command = f"{sys.executable} submit_multiple.py jobs/linear-classifier-example.yaml -d | head -1; sleep 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


@pytest.mark.parametrize("script", ["train.py", "submit_multiple.py", "report.py"])
def test_without_the_environment_the_way_to_it_is_one_sentence(script: str) -> None:
    done = run_fresh("-S", script, "--help")  # a Python without its installed packages
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "activate the environment (source .venv/bin/activate), or make it as README.md says" in done.stderr


def test_more_threads_than_the_machine_can_run_are_rejected(tmp_path: Path) -> None:
    done = run_command("train.py", spec(tmp_path / "run", num_threads=10**5))
    assert done.returncode == 1 and "num_threads 100000: this machine has" in done.stderr


def test_folders_outside_of_ascii_work_under_the_c_locale(tmp_path: Path) -> None:
    path = spec(tmp_path / "größe", train_length=1)
    done = run_fresh("train.py", path, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    assert status(path.parent) == Status.DONE and "größe" in done.stdout
