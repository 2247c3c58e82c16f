"""notebooks/view_results.ipynb: it runs from start to end on a job that has just been run."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "notebooks" / "view_results.ipynb"


def test_the_notebook_shows_the_table_and_both_figures(
    demo_job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_FOLDER", str(demo_job))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))  # not into the user's own folders
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    which_python = nbformat.v4.new_code_cell("sys.executable")
    notebook.cells.append(which_python)

    NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()

    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in shown) == 2
    assert sum("text/html" in data for data in shown) >= 2  # data frames
    assert which_python.outputs[0].data["text/plain"].strip("'") == sys.executable


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
