"""A job's folder: names that are safe in a shell, a whole folder or none, the snapshot of the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src import config, experiment, yaml_io
from src.jobs import folders, snapshot
from src.jobs.specification import read_job


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"job_details: {{name: grid, output_dir: '{tmp_path / 'runs'}'}}\nparameters:\n  base_lr: [1, 1e-5]\n  model: tiny/lenet\n"
    )
    return path


def write(job_file: Path) -> Path:
    job = read_job(job_file)
    folder = folders.new_job_folder(job)
    folders.write_job_folder(job, folder)
    return folder


# --- names ----------------------------------------------------------------------------------------------


def test_a_name_tells_what_varies_and_nothing_else() -> None:
    experiments = [
        {"base_lr": lr, "model": model, "batch_size": 8} for lr in (0.1, 1e-5) for model in ("a/b", "linear")
    ]
    assert folders.experiment_names(experiments) == [
        "0_lr=0.1+model=a-b",
        "1_lr=0.1+model=linear",
        "2_lr=1e-05+model=a-b",
        "3_lr=1e-05+model=linear",
    ]


def test_an_option_that_only_some_experiments_set_is_named_where_it_is_set() -> None:
    assert folders.experiment_names([{}, {"averaging": "poly_8"}]) == ["0", "1_avg=poly_8"]


def test_a_large_number_does_not_read_as_two_options() -> None:
    assert folders.experiment_names([{"base_lr": 1e30}, {"base_lr": -1.0}]) == ["0_lr=1e30", "1_lr=-1.0"]


def test_numbers_are_padded_so_that_names_sort_in_the_order_of_the_grid() -> None:
    names = folders.experiment_names([{"seed_model": seed} for seed in range(1001)])
    assert names == sorted(names)
    assert names[7] == "0007_seed_model=7"


def test_no_two_options_share_a_short_key() -> None:
    keys = [folders.SHORT.get(option, option) for option in config.FIELDS]
    assert len(set(keys)) == len(keys)
    assert set(folders.SHORT) <= set(config.FIELDS)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(config.FIELDS)), anything), min_size=1, max_size=12))
def test_names_are_safe_short_and_different_whatever_the_values(experiments: list[dict[str, Any]]) -> None:
    names = folders.experiment_names(experiments)
    assert len(set(names)) == len(experiments)
    assert all(re.fullmatch(r"[0-9][A-Za-z0-9._=+,-]{0,119}", name) for name in names)


# --- writing and finding --------------------------------------------------------------------------------


def test_the_folder_holds_the_specification_the_code_the_environment_and_the_experiments(job_file: Path) -> None:
    folder = write(job_file)
    assert re.fullmatch(r"\d\d-\d\d-\d\d-grid", folder.name)
    assert (folder / "job.yaml").read_text() == job_file.read_text()
    assert (folder / "code" / "submit_multiple.py").is_file()
    assert (folder / "code" / "src" / "config" / "options.py").is_file()
    environment = (folder / "environment.txt").read_text()
    assert f"torch=={__import__('importlib.metadata').metadata.version('torch')}" in environment
    experiments = folders.experiment_folders(folder)
    assert [path.name for path in experiments] == ["0_lr=1", "1_lr=1e-05"]
    for path, lr in zip(experiments, (1, 1e-5), strict=True):
        spec = yaml_io.read(path / "spec.yaml").data
        assert spec == {"base_lr": lr, "model": "tiny/lenet", "output_dir": str(path)}
        assert config.load(path / "spec.yaml").base_lr == lr
        assert experiment.read_state(path) == {"status": "pending", "attempt": 0}


def test_writing_that_fails_leaves_nothing(job_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "copy_code", full)
    with pytest.raises(OSError, match="No space left"):
        write(job_file)
    assert list((job_file.parent / "runs").iterdir()) == []


def test_a_folder_that_exists_is_not_written_to(job_file: Path) -> None:
    folder = write(job_file)
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError):
        write(job_file)
    assert (folder / "mine.txt").read_text() == "keep"


def test_the_newest_folder_of_the_name_is_found(tmp_path: Path) -> None:
    for name in ("25-01-02-grid", "24-12-31-grid", "25-01-03-other-grid", "25-01-04-grid-2", ".25-01-09-grid.1.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.yaml").touch()
    (tmp_path / "25-01-05-grid").mkdir()  # no job's folder
    assert folders.find_job_folder(tmp_path, "grid") == tmp_path / "25-01-02-grid"
    assert folders.find_job_folder(tmp_path, "nothing") is None
    assert folders.find_job_folder(tmp_path / "missing", "grid") is None


def test_only_a_job_folder_can_be_deleted(tmp_path: Path, job_file: Path) -> None:
    (tmp_path / "precious").mkdir()
    with pytest.raises(FileNotFoundError, match="not a job folder"):
        folders.delete_job_folder(tmp_path / "precious")
    assert (tmp_path / "precious").is_dir()
    folder = write(job_file)
    folders.delete_job_folder(folder)
    assert list(folder.parent.iterdir()) == []


# --- the snapshot ---------------------------------------------------------------------------------------


def make_project(root: Path) -> None:
    for name, text in {
        "train.py": "print()",
        "src/data/a.py": "",
        "submit.sh": "",
        "notes.md": "not code",
        "big.txt": "x" * 1_000_001,
        "runs/25-01-01-x/job.yaml": "",
        ".hidden/a.py": "",
        "env/pyvenv.cfg": "",
        "env/lib/a.py": "",
        "with space/a.yaml": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def copied(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


CODE = {"train.py", "src/data/a.py", "submit.sh", "with space/a.yaml", "GIT_COMMIT"}


def test_without_git_the_snapshot_is_the_small_files_of_code(tmp_path: Path) -> None:
    make_project(tmp_path / "project")
    snapshot.copy_code(tmp_path / "code", exclude=tmp_path / "project" / "runs", root=tmp_path / "project")
    assert copied(tmp_path / "code") == CODE


def test_in_a_checkout_the_snapshot_is_what_git_knows_or_would_add(tmp_path: Path) -> None:
    root = tmp_path / "project"
    make_project(root)
    (root / ".gitignore").write_text("env/\nignored.py\n")
    (root / "ignored.py").touch()
    (root / "deleted.py").touch()
    for command in (["init", "-q"], ["add", "train.py", "deleted.py"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    (root / "deleted.py").unlink()
    (root / "train.py").write_text("edited")
    snapshot.copy_code(tmp_path / "code", exclude=root / "runs", root=root)
    assert copied(tmp_path / "code") == CODE | {".hidden/a.py"}
    assert (tmp_path / "code" / "train.py").read_text() == "edited"


def test_results_beside_the_code_are_left_out_and_the_code_is_not(tmp_path: Path) -> None:
    root = tmp_path / "project"
    make_project(root)
    (root / "25-01-01-grid").mkdir()
    (root / "25-01-01-grid" / "job.yaml").touch()
    snapshot.copy_code(tmp_path / "code", exclude=root, root=root)
    assert copied(tmp_path / "code") == CODE
