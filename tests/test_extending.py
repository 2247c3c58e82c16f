"""docs/extending.md: its recipes work as they are written."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from helpers import ROOT, run_command

PAGE = (ROOT / "docs" / "extending.md").read_text()

# What a recipe does not set: a run of milliseconds on digits, which have ten classes.
TINY = {
    "dataset": "sklearn/digits",
    "data_splits_map": {"train": "train[:20%]", "test": "train[90%:]"},
    "model": "linear",
    "base_lr": 0.1,
    "train_length": 2,
    "num_workers": 0,
    "seed_model": 0,
    "seed_training": 0,
}

RUN = """
import json, sys
from src import config
from train import experiment_generator

for options in json.load(open(sys.argv[1])):
    for _ in experiment_generator(config.build(options)):
        pass
"""


@dataclass
class Recipe:
    """The blocks of code under a heading."""

    files: dict[str, str] = field(default_factory=dict)  # name -> text
    changes: list[tuple[str, str, str]] = field(default_factory=list)  # (name of a file, old lines, new lines)
    options: list[dict[str, Any]] = field(
        default_factory=list
    )  # of a config file, one a run; none: the options of TINY


def recipes() -> dict[str, Recipe]:
    """The recipes of the page, by heading."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        recipe = Recipe()
        for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            if language == "python":
                recipe.files[text.splitlines()[0].removeprefix("# ")] = text
            elif language == "diff":
                name, *hunks = text.removeprefix("+++ ").split("\n@@\n")
                recipe.changes += [(name, _side(hunk, "+"), _side(hunk, "-")) for hunk in hunks]
            elif language == "yaml":
                recipe.options.append(yaml.safe_load(text))
        if recipe.files or recipe.changes:
            found[section.splitlines()[0]] = recipe
    return found


def _side(hunk: str, without: str) -> str:
    """The lines before or after a change."""
    return "".join(f"{line[1:]}\n" for line in hunk.splitlines() if not line.startswith(without))


RECIPES = recipes()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The folders of the experiments of each recipe, run in a copy of the project that has all of them."""
    copy = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    (copy / "run.py").write_text(RUN)
    folders: dict[str, list[Path]] = {}
    configs: list[dict[str, Any]] = []
    for title, recipe in RECIPES.items():
        for name, text in recipe.files.items():
            (copy / name).write_text(text)
        for name, old, new in recipe.changes:
            before = (copy / name).read_text()
            assert before.count(old) == 1, f"{title}: {name} has not exactly once:\n{old}"
            (copy / name).write_text(before.replace(old, new))
        runs = [
            TINY | options | {"output_dir": str(copy / "runs" / f"{title} {number}")}
            for number, options in enumerate(recipe.options or [{}])
        ]
        folders[title] = [Path(options["output_dir"]) for options in runs]
        configs += runs
    (copy / "configs.json").write_text(json.dumps(configs))
    done = run_command(copy / "run.py", copy / "configs.json")
    assert done.returncode == 0, done.stderr
    return folders


def stats(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "stats.csv")


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_trains(title: str, runs: dict[str, list[Path]]) -> None:
    for folder in runs[title]:
        assert (folder / "done").exists()
        losses = stats(folder)["train/loss"]
        assert losses.iloc[-1] < losses.iloc[0]


def test_the_page_has_a_recipe_for_each_part_that_it_announces() -> None:
    announced = re.findall(r"\[[^]]+\]\(#([\w-]+)\)", PAGE.partition("\n## ")[0])
    assert [title.lower().replace(" ", "-") for title in RECIPES] == announced


def test_the_metrics_of_the_recipe_have_columns(runs: dict[str, list[Path]]) -> None:
    last = stats(runs["A metric"][0]).iloc[-1]
    assert last["test/last/top5"] >= last["test/last/accuracy"]
    assert last["test/last/within_one"] >= last["test/last/accuracy"]
    assert 0 < last["test/last/brier"] < 2
    assert 0 < last["test/last/balanced_accuracy"] <= 1


def test_the_schedule_and_the_option_of_the_recipes_act_on_the_learning_rate(runs: dict[str, list[Path]]) -> None:
    exponential = stats(runs["A learning-rate schedule"][0])["train/learning_rate"]
    n_steps = 2 * 4  # 359 examples in batches of 100
    assert exponential.tolist() == pytest.approx([0.1 * 0.01 ** (3 / n_steps), 0.1 * 0.01 ** (7 / n_steps)])
    assert stats(runs["An option"][0])["train/learning_rate"].iloc[-1] == 0.05


def test_the_listener_of_the_recipe_hears_of_every_run(runs: dict[str, list[Path]]) -> None:
    for folders in runs.values():
        for folder in folders:
            rows = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
            assert [row["train/loss"] for row in rows] == stats(folder)["train/loss"].tolist()
