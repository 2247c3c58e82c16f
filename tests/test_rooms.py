"""Who may import whom, where import-linter cannot look: the three scripts at the top."""

from __future__ import annotations

import ast

import pytest
from helpers import ROOT

TRAINING = ("src.running", "src.training", "src.data", "src.models", "src.optim", "src.logs")
PLANNING = ("src.jobs", "src.results", "src.plots")


def imported(script: str) -> set[str]:
    """Every module that a script names in an import, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse((ROOT / script).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


@pytest.mark.parametrize(
    ("script", "forbidden"),
    [
        ("train.py", (*PLANNING, "submit_multiple", "report")),
        ("submit_multiple.py", (*TRAINING, "src.models", "train", "torch", "timm", "pandas")),
        ("report.py", (*TRAINING, "train", "torch", "timm")),
    ],
)
def test_a_script_stays_on_its_side_of_the_house(script: str, forbidden: tuple[str, ...]) -> None:
    found = imported(script)
    assert any(module.startswith("src.") for module in found)
    for module in forbidden:
        assert not [name for name in found if name == module or name.startswith(f"{module}.")]
