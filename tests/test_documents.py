"""README.md and the pages under docs/: their programs and job files work, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers import ROOT

from src.config import Config
from src.jobs.specification import read_job
from train import experiment_generator

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def code(page: str, language: str) -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end with, as GitHub has it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https://)([^)#]*)#?([^)]*)\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_program_of_the_readme_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = next(block for block in code("README.md", "python") if "experiment_generator" in block)
    monkeypatch.chdir(tmp_path)  # its folder is made under runs/
    exec(program.replace("train_length=15", "train_length=1"), {})
    assert 0 <= float(capsys.readouterr().out) <= 1
    assert len(list(tmp_path.glob("runs/*/done"))) == 1


def test_the_job_of_the_readme_is_a_grid_of_48(tmp_path: Path) -> None:
    (job,) = code("README.md", "yaml")
    (tmp_path / "job.yaml").write_text(job)
    assert len(read_job(tmp_path / "job.yaml").experiments) == 2 * 4 * (2 + 1) * 2


def test_the_recipe_for_seeds_repeats_each_experiment_three_times(tmp_path: Path) -> None:
    (recipe,) = code("docs/results.md", "yaml")
    job = yaml.safe_load(recipe) | {"job_details": {"name": "seeds", "output_dir": "runs"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
    experiments = read_job(tmp_path / "job.yaml").experiments
    assert [(e["base_lr"], e["seed_model"], e["seed_training"]) for e in experiments] == [
        (lr, seed, seed) for lr in (0.01, 0.1) for seed in (0, 1, 2)
    ]


def test_the_recipes_for_results_read_a_run_and_its_best_model(
    small: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/25-01-31-digits-example/0", "runs/25-01-31-digits_lenet"):
        for _ in experiment_generator(small(output_dir=folder, save_best_checkpoint=True)):
            pass
    names: dict[str, object] = {}
    for block in code("docs/results.md", "python"):
        exec(block, names)
    assert len(names["big_df"]) == 1  # type: ignore[arg-type]
    labels = names["data"].splits["test"].y  # type: ignore[attr-defined]
    accuracy = (names["predicted"] == labels).double().mean().item()  # type: ignore[attr-defined]
    assert accuracy == names["kept"]["stats"]["test/last/accuracy"]  # type: ignore[index]
