"""The recorded numbers of twelve runs, and what the script that compares them reports."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from same_numbers import compare


@pytest.mark.parametrize("name", compare.CASES)
def test_a_run_has_the_recorded_numbers(name: str) -> None:
    warning = compare.other_machine(compare.RECORDED)
    recorded = (compare.RECORDED / f"{name}.csv").read_text()
    difference = compare.first_difference(recorded, compare.run(name), exact=not warning)
    assert not difference, f"{difference}\n{warning}"


def test_recorded_holds_one_file_a_case() -> None:
    assert {path.stem for path in compare.RECORDED.glob("*.csv")} == set(compare.CASES)


def test_the_command_reports_the_first_cell_that_differs_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    command = ["--recorded", str(tmp_path), "--only", "folds"]
    shutil.copy(compare.RECORDED / compare.MACHINE, tmp_path)
    whole = (compare.RECORDED / "folds.csv").read_text()
    (tmp_path / "folds.csv").write_text(whole.replace("\n3,42,", "\n3,41,"))

    assert compare.main(command) == 1
    assert capsys.readouterr().out.rstrip().endswith("row 3, step: 42; recorded: 41")

    (tmp_path / "folds.csv").write_text(whole)
    assert compare.main(command) == 0


@pytest.mark.parametrize(
    ("column", "small", "large"),
    [
        ("test/last/loss", "0.5001", "0.501"),
        ("train/grad_norm", "0.503", "0.51"),
        ("val/av/accuracy", "0.54", "0.56"),
        ("train/learning_rate", "0.5000000000001", "0.5001"),
    ],
)
def test_on_another_kind_of_machine_a_metric_may_differ_a_little(column: str, small: str, large: str) -> None:
    def differs(value: str, exact: bool) -> bool:
        return bool(compare.first_difference(f"{column}\n0.5\n", f"{column}\n{value}\n", exact))

    assert not differs("0.5", exact=True)
    assert differs(small, exact=True)
    assert not differs(small, exact=False)
    assert differs(large, exact=False)


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        ("epoch,step\n1,5\n", "1 rows; recorded: 2"),
        ("epoch,step\n1,5\n2,11\n", "row 2, step: 11; recorded: 10"),
        ("epoch,steps\n1,5\n2,10\n", "columns: epoch steps; recorded: epoch step"),
    ],
)
def test_counts_rows_and_columns_must_be_equal_on_any_machine(found: str, difference: str) -> None:
    assert compare.first_difference("epoch,step\n1,5\n2,10\n", found, exact=False) == difference
