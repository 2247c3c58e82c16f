"""--prepare: data and models are fetched and looked at once, and nothing is run or queued before all are ready."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from data.made_timm import make_class_folders
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st
from slurm_stub import SlurmStub

import submit_multiple
import train
from src.jobs.identity import needs


def submit(job: Path, *words: str) -> int:
    return submit_multiple.main([str(job), "-s", str(ROOT / "submit_cpu.sh"), "-y", "--prepare", *words])


def write_job(folder: Path, **parameters: object) -> Path:
    """A job file whose experiments read from and write to `folder`, and download nothing."""
    options = {"data_dir": folder / "data", "data_download": "false", "model": "linear", **parameters}
    lines = "".join(f"  {key}: {value}\n" for key, value in options.items())
    path = folder / "job.yaml"
    path.write_text(f"job_details: {{name: job, output_dir: '{folder / 'runs'}'}}\nparameters:\n{lines}")
    return path


def put_raw_a9a(folder: Path) -> None:
    """The raw files of libsvm/a9a, as if they were downloaded by hand."""
    (folder / "data" / "libsvm").mkdir(parents=True, exist_ok=True)
    for name in ("a9a", "a9a.t"):
        (folder / "data" / "libsvm" / name).write_text("-1 3:1 11:1\n+1 5:1 7:1\n" * 10)


def experiments(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("runs/*/*/spec.yaml"))


def test_what_all_experiments_share_is_prepared_once_and_then_each_is_submitted(
    tmp_path: Path, stub: SlurmStub, warm_local: None, capfd: pytest.CaptureFixture[str]
) -> None:
    put_raw_a9a(tmp_path)
    job = write_job(tmp_path, dataset="libsvm/a9a", base_lr=[0.1, 0.2], model="[linear, linear/no_bias]")
    assert submit(job) == 0
    said = capfd.readouterr().out
    assert "Preparing 2 of 4 experiments" in said
    assert said.count("libsvm/a9a ready: train 20, test 20; model linear") == 2
    assert said.index("model linear/no_bias ready") < said.index("Submitted 4 experiments")
    assert (tmp_path / "data" / "libsvm" / "a9a_X.npz").exists()
    assert len(stub.calls) == 4
    for folder in experiments(tmp_path):  # no run has left anything there
        assert {path.name for path in folder.iterdir()} == {"spec.yaml", "state.json"}


def test_nothing_is_queued_before_all_is_ready_and_the_printed_command_resumes_it(
    tmp_path: Path, stub: SlurmStub, warm_local: None, capfd: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, dataset="[libsvm/a9a, sklearn/iris]", data_splits_map="{train: 'train[:80%]'}")
    assert submit(job) == 1
    said = capfd.readouterr()
    assert "not ready: 'libsvm/a9a' is not in" in said.err and "Traceback" not in said.err
    assert "sklearn/iris ready" in said.out  # one that fails does not hide the others
    assert not stub.calls
    told = next(line for line in said.err.splitlines() if "Resume with" in line)
    put_raw_a9a(tmp_path)
    words = shlex.split(told.partition("submit_multiple.py ")[2])
    assert "--prepare" in words
    assert submit_multiple.main([*words, "-y"]) == 0
    assert len(stub.calls) == 2


def test_a_data_set_that_does_not_exist_is_found_before_anything_is_queued(
    tmp_path: Path, stub: SlurmStub, warm_local: None, capfd: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, dataset="libsvm/rcv1")
    assert submit(job) == 1
    assert "did you mean 'rcv1.binary'" in capfd.readouterr().err
    assert not stub.calls


def test_train_py_tells_of_each_config_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "good": "dataset: sklearn/iris\ndata_splits_map: {train: 'train[:80%]', test: 'train[80%:]'}\nmodel: linear",
        "typo": "datasett: sklearn/iris",
        "misfit": "dataset: sklearn/iris\ndata_splits_map: {train: train}\nmodel: tiny/lenet",
    }.items():
        Path(f"{name}.yaml").write_text(text)
    assert train.main(["--prepare", "good.yaml", "base_lr=0.5"]) == 0
    assert "good.yaml: sklearn/iris ready: train 120, test 30; model linear ready" in capsys.readouterr().out
    assert train.main(["--prepare", "typo.yaml", "good.yaml"]) == 2
    said = capsys.readouterr()
    assert "datasett" in said.err and "good.yaml: sklearn/iris ready" in said.out
    assert train.main(["--prepare", "typo.yaml", "misfit.yaml"]) == 1
    assert "misfit.yaml: not ready: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.yaml", "misfit.yaml", "typo.yaml"]


@pytest.mark.parametrize("words", [["a.yaml", "--parallel", "2"], ["a.pack"]])
def test_prepare_takes_configs_alone(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main(["--prepare", *words])
    assert stop.value.code == 2
    assert "--prepare takes config files" in capsys.readouterr().err


@given(
    same=st.dictionaries(st.sampled_from(["base_lr", "seed_model", "cv_fold", "batch_size"]), st.integers(1, 5)),
    other=st.sampled_from([{"model": "linear"}, {"dataset": "sklearn/iris"}, {"model_kwargs": {"a": 1}}]),
)
def test_only_data_and_model_decide_what_is_prepared(same: dict[str, int], other: dict[str, object]) -> None:
    assert needs(same) == needs({}) == needs({"model": "linear/no_bias"})  # the default, written or not
    assert needs(same | other) != needs({})


def test_images_are_prepared_without_a_seed_and_no_run_is_begun(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_class_folders(tmp_path / "images", n_each=2)
    config = tmp_path / "cfg.yaml"
    options = f"dataset: timm/folder/{tmp_path / 'images'}\ndata_splits_map: {{train: train, test: val}}\n"
    config.write_text(f"{options}model: tiny/lenet\nhflip: 0.5\nmixup_alpha: 0.2\n")
    before = set(tmp_path.iterdir())
    assert train.main(["--prepare", str(config)]) == 0
    assert "ready: train 6, test 6; model tiny/lenet ready" in capfd.readouterr().out
    assert set(tmp_path.iterdir()) == before
