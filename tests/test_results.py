"""read_experiments: a data frame with a row for each experiment, whatever state its folder is in."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results_helpers import make_experiment, make_job

from src import config, experiment, yaml_io
from src.results import final, larger_is_better, metrics, read_experiments, stats_columns, varying

pytestmark = pytest.mark.filterwarnings("error")  # a warning says that something is damaged


# --- the frame ----------------------------------------------------------------------------------------


def test_each_experiment_is_a_row_in_the_order_of_the_grid(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", {"base_lr": [0.1 * i for i in range(1, 13)]})
    big_df = read_experiments(job)
    assert big_df.index.name == "path"
    assert list(big_df.index) == [str(job / f"{number:02}_experiment") for number in range(12)]
    assert list(big_df["base_lr"]) == [0.1 * i for i in range(1, 13)]
    assert set(config.FIELDS) | {"status", "epoch", "test/last/accuracy"} <= set(big_df.columns)
    assert set(big_df["status"]) == {"done"}


def test_numbers_in_names_are_ordered_as_numbers(tmp_path: Path) -> None:
    for name in ("10_b", "9_a", "100_c"):
        make_experiment(tmp_path / name, {})
    assert [Path(path).name for path in read_experiments(tmp_path).index] == ["9_a", "10_b", "100_c"]


def test_columns_have_the_type_of_their_values(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {"base_lr": 1, "averaging": "poly_8", "early_stopping_patience": 3, "momentum": 0})
    make_experiment(tmp_path / "1", {"base_lr": 2, "data_splits_map": {"train": "train[:50%]"}, "momentum": 0.5})
    big_df = read_experiments(tmp_path)
    types = big_df.dtypes.astype(str)
    assert dict(types[["base_lr", "momentum", "batch_size", "multi_gpu", "model", "averaging"]]) == {
        "base_lr": "float64",
        "momentum": "float64",
        "batch_size": "int64",
        "multi_gpu": "bool",
        "model": "str",
        "averaging": "str",
    }
    assert types["early_stopping_patience"] == "Int64"
    assert big_df["early_stopping_patience"].isna().tolist() == [False, True]
    assert big_df["data_splits_map"].iloc[1] == {"train": "train[:50%]"}
    assert len(big_df.query("base_lr > 1 and averaging != 'poly_8'")) == 1


def test_a_column_of_mixed_types_stays_as_it_is(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {"momentum": 0.9, "optim_alg": "adam"})
    make_experiment(tmp_path / "1", {"momentum": "0.9,0.99", "optim_alg": "adam"})
    assert list(read_experiments(tmp_path)["momentum"]) == [0.9, "0.9,0.99"]


@pytest.mark.parametrize("field", ["epoch", "step", "timestamp", "train/learning_rate"])
def test_stats_are_series_over_the_chosen_field(tmp_path: Path, field: str) -> None:
    make_experiment(tmp_path / "0", {}, epochs=3)
    big_df = read_experiments(tmp_path, index_field=field)
    losses = big_df["train/loss"].iloc[0]
    on_disk = pd.read_csv(tmp_path / "0" / experiment.STATS)
    assert losses.tolist() == pytest.approx(on_disk["train/loss"].tolist())
    assert losses.index.name == field
    if field == "timestamp":
        assert losses.index[0] == pd.Timestamp("2025-01-31T12:01:00Z")
    else:
        assert losses.index.tolist() == on_disk[field].tolist()


def test_experiments_with_different_splits_have_empty_series_for_what_they_lack(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {}, epochs=3)
    folder = make_experiment(tmp_path / "1", {}, epochs=3)
    stats = pd.read_csv(folder / experiment.STATS)
    stats.rename(columns={"test/last/loss": "val/last/loss"}).to_csv(folder / experiment.STATS, index=False)
    big_df = read_experiments(tmp_path)
    assert big_df["test/last/loss"].map(len).tolist() == [3, 0]
    assert big_df["val/last/loss"].map(len).tolist() == [0, 3]


# --- which experiments --------------------------------------------------------------------------------


def test_a_job_may_be_a_folder_a_glob_an_experiment_or_a_list_of_these(tmp_path: Path) -> None:
    one = make_job(tmp_path / "25-01-01-one", {"base_lr": [1.0, 2.0]})
    two = make_job(tmp_path / "25-01-02-two", {"base_lr": [3.0]})
    (tmp_path / "notes.txt").touch()
    assert list(read_experiments(str(one))["base_lr"]) == [1, 2]
    assert list(read_experiments(two / "00_experiment")["base_lr"]) == [3]
    assert list(read_experiments(str(tmp_path / "*"))["base_lr"]) == [1, 2, 3]
    assert list(read_experiments(tmp_path / "25-*" / "01*")["base_lr"]) == [2]
    assert list(read_experiments([two, str(one / "*"), one])["base_lr"]) == [3, 1, 2]  # each of them once


def test_only_done_leaves_out_the_others(tmp_path: Path) -> None:
    for status in ("done", "running", "failed", "pending"):
        make_experiment(tmp_path / status, {}, status=status)
    assert [Path(path).name for path in read_experiments(tmp_path, only_done=True).index] == ["done"]


def test_a_job_without_a_finished_experiment_gives_an_empty_frame_with_the_config_columns(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {}, status="running")
    big_df = read_experiments(tmp_path, only_done=True)
    assert len(big_df) == 0
    assert {"base_lr", "status"} <= set(big_df.columns)
    assert varying(big_df) == metrics(big_df) == []


def test_what_is_not_there_is_refused_with_what_there_is(tmp_path: Path) -> None:
    make_job(tmp_path / "25-01-01-one", {"base_lr": [1.0]})
    with pytest.raises(ValueError, match=r"one is not a folder; .* has 25-01-01-one"):
        read_experiments(tmp_path / "one")
    with pytest.raises(ValueError, match=r"two-\* matches no experiment; .* has 25-01-01-one"):
        read_experiments(tmp_path / "two-*")
    with pytest.raises(ValueError, match=r"holds no experiments; it has 25-01-01-one"):
        read_experiments(tmp_path)
    with pytest.raises(ValueError, match="no job is given"):
        read_experiments([])
    with pytest.raises(ValueError, match=r"index_field 'epochs' is not in any stats.csv; there are: epoch, timestamp"):
        read_experiments(tmp_path / "25-01-01-one", index_field="epochs")


# --- experiments that are not finished, or damaged ----------------------------------------------------


def test_a_running_experiment_has_its_epochs_so_far_and_a_pending_one_its_options(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {"base_lr": 3}, status="running", epochs=2)
    make_experiment(tmp_path / "1", {"base_lr": 3, "data_splits_map": "dict(train='train')"}, status="pending")
    big_df = read_experiments(tmp_path)
    assert list(big_df["status"]) == ["running", "pending"]
    assert big_df["train/loss"].map(len).tolist() == [2, 0]
    assert big_df["base_lr"].tolist() == [3.0, 3.0]
    assert big_df["batch_size"].tolist() == [100, 100]  # the default
    assert big_df["data_splits_map"].iloc[1] == {"train": "train"}


def test_a_job_that_has_not_started_has_rows_without_stats(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {}, status="pending")
    assert stats_columns(read_experiments(tmp_path)) == []


def test_an_older_config_gets_the_defaults_and_unknown_keys_are_kept(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {})
    (folder / experiment.CONFIG).write_text("base_lr: 0.5\nlr_warmup: linear\n")
    make_experiment(tmp_path / "1", {})
    big_df = read_experiments(tmp_path)
    assert big_df["base_lr"].tolist() == [0.5, 1.0]
    assert big_df["batch_size"].tolist() == [100, 100]
    assert big_df["lr_warmup"].iloc[0] == "linear" and pd.isna(big_df["lr_warmup"].iloc[1])


def test_a_torn_last_line_of_stats_is_left_out_with_a_warning(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {}, epochs=3)
    text = (folder / experiment.STATS).read_text()
    (folder / experiment.STATS).write_text(text[:-5])
    with pytest.warns(UserWarning, match=f"{folder}: stats.csv ends within a line"):
        big_df = read_experiments(tmp_path)
    assert big_df["epoch"].iloc[0].tolist() == [1, 2]


def test_a_value_that_is_no_number_is_missing_and_the_others_are_there(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {})
    (folder / experiment.STATS).write_text("epoch,train/loss,train/accuracy\n1,x#,0.1\n2,0.3,0.2\n")
    with pytest.warns(UserWarning, match=f"{folder}: stats.csv has values that are not numbers .1 of 6"):
        big_df = read_experiments(tmp_path)
    assert big_df["train/accuracy"].iloc[0].tolist() == [0.1, 0.2]
    assert big_df["train/loss"].iloc[0].isna().tolist() == [True, False]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x80binary", b"[1, 2", b"just text", b"a: 1\n b: 2"])
def test_a_damaged_config_is_replaced_by_what_was_asked_for(tmp_path: Path, content: bytes) -> None:
    folder = make_experiment(tmp_path / "0", {"base_lr": 0.25})
    (folder / experiment.CONFIG).write_bytes(content)
    with pytest.warns(UserWarning, match=f"{folder}: config.yaml is damaged") as caught:
        big_df = read_experiments(tmp_path)
    assert len(caught) == 1
    assert big_df["base_lr"].tolist() == [0.25]
    assert big_df["train/loss"].map(len).tolist() == [5]


def test_an_experiment_without_a_readable_config_does_not_look_like_the_defaults(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {"base_lr": 0.25})
    make_experiment(tmp_path / "1", {"base_lr": 0.5})
    make_experiment(tmp_path / "2", {"base_lr": 1.0})
    (folder / experiment.CONFIG).unlink()
    (folder / experiment.SPEC).unlink()
    with pytest.warns(UserWarning, match=str(folder)):
        big_df = read_experiments(tmp_path)
    assert big_df["base_lr"].isna().tolist() == [True, False, False]
    assert big_df["train/loss"].map(len).tolist() == [5, 5, 5]
    assert varying(big_df) == ["base_lr"]  # what is missing is no axis of the grid


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([experiment.CONFIG, experiment.SPEC, experiment.STATS, experiment.STATE]),
    start=st.sampled_from([b"", b"epoch,train/loss\n1,", b"base_lr: ", b"{"]),
    damage=st.binary(max_size=30) | st.text(max_size=30).map(lambda text: text.encode()),
)
def test_no_damage_to_one_folder_keeps_the_others_from_being_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: bytes, damage: bytes
) -> None:
    job = make_job(tmp_path_factory.mktemp("job"), {"base_lr": [1.0, 2.0]})
    (job / "00_experiment" / name).write_bytes(start + damage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        big_df = read_experiments(job)
    assert len(big_df) == 2
    assert big_df["base_lr"].iloc[1] == 2
    assert len(big_df["test/last/accuracy"].iloc[1]) == 5
    assert len(caught) <= 1 and all("00_experiment" in str(warning.message) for warning in caught)


# --- what the notebook and the report ask -------------------------------------------------------------


def test_final_is_the_last_value_and_missing_where_there_is_none(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {}, epochs=4)
    make_experiment(tmp_path / "1", {}, status="pending")
    last = final(read_experiments(tmp_path), "train/accuracy")
    assert last.iloc[0] == pytest.approx(pd.read_csv(folder / experiment.STATS)["train/accuracy"].iloc[-1])
    assert pd.isna(last.iloc[1])
    with pytest.raises(ValueError, match=r"'base_lr' is not a column of stats.csv; there are: epoch"):
        final(read_experiments(tmp_path), "base_lr")


def test_varying_names_the_axes_of_the_grid_and_nothing_that_the_program_decided(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    for number, folder in enumerate(sorted(job.iterdir())):
        ran = yaml_io.read(folder / experiment.CONFIG).data
        decided = {"seed_model": 100 + number, "device": "cpu", "host_name": f"node{number}", "data_n_examples": number}
        (folder / experiment.CONFIG).write_text(yaml_io.dump(ran | decided))
    make_experiment(job / "12_waits", {"base_lr": 0.1, "model": "linear"}, status="pending")
    assert set(varying(read_experiments(job))) == {"model", "base_lr", "batch_size"}


def test_varying_keeps_the_seeds_of_a_grid_over_seeds(tmp_path: Path) -> None:
    make_job(tmp_path / "seeds", {"seed_model": [1, 2, 3]})
    assert varying(read_experiments(tmp_path / "seeds")) == ["seed_model"]
    make_job(tmp_path / "both", {"seed_model": [1, 2, 3], "base_lr": [0.1, 1.0]})
    assert set(varying(read_experiments(tmp_path / "both"))) == {"seed_model", "base_lr"}


def test_varying_sees_dictionaries_and_null(tmp_path: Path) -> None:
    splits = [{"train": "train[:50%]"}, {"train": "train"}]
    job = make_job(tmp_path / "job", {"data_splits_map": splits, "averaging": [None, "poly_8"]})
    assert set(varying(read_experiments(job))) == {"data_splits_map", "averaging"}


def test_metrics_begin_with_the_one_to_judge_by(tmp_path: Path) -> None:
    folder = make_experiment(tmp_path / "0", {})
    big_df = read_experiments(tmp_path)
    assert metrics(big_df)[0] == "test/last/accuracy"
    assert larger_is_better(big_df, "test/last/accuracy") and not larger_is_better(big_df, "test/last/loss")
    stats = pd.read_csv(folder / experiment.STATS)
    stats.assign(**{"val/last/accuracy": 0.5}).to_csv(folder / experiment.STATS, index=False)
    assert metrics(read_experiments(tmp_path))[0] == "val/last/accuracy"
    stats[[name for name in stats if "accuracy" not in name]].to_csv(folder / experiment.STATS, index=False)
    assert metrics(read_experiments(tmp_path)) == ["test/last/loss", "test/av/loss", "train/loss"]


def test_reading_results_imports_no_torch() -> None:
    code = (
        "import sys, src.results, src.plots, report; sys.exit('torch' in sys.modules or 'pyplot' in str(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
