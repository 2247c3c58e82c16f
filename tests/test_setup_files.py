"""Makefile, requirement files and environment.yml."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers import ROOT


def requirements(name: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if line]


def test_conda_and_make_install_the_same_requirement_files_for_the_same_pythons() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "dev"
    python, pip, packages = environment["dependencies"]
    assert pip == "pip"
    assert packages["pip"] == [f"-r {path.name}" for path in
                               (ROOT / "requirements.txt", ROOT / "requirements-dev.txt", ROOT / "requirements-extras.txt")]  # fmt: skip
    lowest, highest = re.search(r"\(3, (\d+)\) <= v <= \(3, (\d+)\)", (ROOT / "Makefile").read_text()).groups()  # type: ignore[union-attr]
    assert python == f"python >=3.{lowest},<3.{int(highest) + 1}"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-extras.txt"])
def test_every_requirement_has_an_upper_bound(name: str) -> None:
    for line in requirements(name):
        assert "==" in line or "<" in line or line.startswith("-r "), line


def test_what_the_documents_link_to_is_there() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    links = [(path, link) for path in documents for link in re.findall(r"\]\(([^)#]+)\)", path.read_text())]
    assert len(links) > 5
    for path, link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), f"{path}: {link}"


def test_a_python_that_the_stack_does_not_support_is_refused_with_those_that_it_does(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    # a Python that says it is 3.9: the Makefile asks sys.version_info, so the check itself runs for real
    old.write_text(
        f'#!/bin/sh\nexec {_python()} -c "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and not (tmp_path / "venv").exists()
    assert "Python 3.11, 3.12 or 3.13 is needed and this is 3.9" in done.stderr


def _python() -> str:
    import sys

    return sys.executable
