"""Job files of the earlier generation of this code, full of Python formulas, run unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import submit_multiple
from src.config import ConfigError, build
from src.jobs.specification import Job, read_job

DETAILS = """\
job_details:
  name: grid
  output_dir: runs
"""
LINEAR = """\
job_details:
  name: linear-classifier
  output_dir: runs
  wandb: true
  wandb_project_name: linear-classifier
parameters:
  dataset: libsvm/covtype.multiclass
  data_splits_map: "dict(train='train[:80%]', test='train[80%:]')"
  model: linear
  LIST_sizes:
    - batch_size: '[int(b) for b in 2 ** np.arange(4, 7)]'
      LIST_rates:
        - base_lr: '[float(x) for x in 2.0 ** np.arange(-6, 3)]'
          momentum: 0.0
        - base_lr: '[float(x) for x in 2.0 ** np.arange(-9, 0)]'
          momentum: 0.9
    - batch_size: '[int(b) for b in 2 ** np.arange(7, 10)]'
      LIST_rates:
        - base_lr: '[float(x) for x in 2.0 ** np.arange(-6, 3)]'
          momentum: 0.0
        - base_lr: '[float(x) for x in 2.0 ** np.arange(-9, 0)]'
          momentum: 0.9
  averaging: poly_8
"""
SCHEDULES = """\
job_details:
  name: schedules
  output_dir: runs
  wandb: false
  wandb_project_name: schedules
parameters:
  dataset: libsvm/a9a
  data_splits_map: dict(train='train', test='test')
  model: linear
  base_lr: 10.0 ** np.arange(-4, 2)
  LIST_schedules:
    - lr_schedule: constant
      averaging: "[f'poly_{eta}' for eta in (2, 4, 8, 32)]"
    - lr_schedule: "['cosine', 'constant']"
      averaging: null
      LIST_warmup:
        - warmup_steps: '[100 * i for i in range(1, 4)]'
        - LIST_more:
            - warmup_steps: list(1000 * np.arange(1, 3))
            - warmup_steps: '[int(round(x)) for x in np.logspace(4, 5, num=1)]'
            - warmup_steps: "len('0123456')"
"""
MOMENTA = """\
job_details:
  name: momenta
  output_dir: runs
  wandb: true
parameters:
  dataset: libsvm/a9a
  data_splits_map: "[dict(train=f'train[:{p}%]', test='test') for p in (50, 100)]"
  model: linear
  momentum: '[round(1 - 1 / 2**i, 3) for i in sorted({0, 1, 3})]'
  LIST:
    - base_lr: '[float(x) for x in 2.0 ** np.arange(-6, 3)]'
"""
NETWORKS = """\
job_details:
  name: networks
  output_dir: runs
  wandb: true
  wandb_project_name: cifar
parameters:
  dataset: timm/torch/cifar10
  data_splits_map: "dict(train='train', test='test')"
  LIST_models:
    - model: tiny/resnet_20
      base_lr: 1 / np.arange(5, 15, 5)
    - LIST_pretrained:
        - model: timm/resnet18
          model_pretrained: '[False, True]'
          base_lr: 10 ** -3
  train_length: 2 * 10 + 5
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text.replace("output_dir: runs", f"output_dir: '{tmp_path / 'runs'}'"), encoding="utf-8")
    return path


def read(tmp_path: Path, parameters: str, details: str = "") -> Job:
    return read_job(write(tmp_path, f"{DETAILS}{details}parameters:\n{parameters}"))


def problems(tmp_path: Path, parameters: str, details: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, parameters, details)
    return [problem.replace(f"{tmp_path / 'job.yaml'}:", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "n", "axes"),
    [
        (LINEAR, 108, "108 (batch_size, base_lr, momentum)"),
        (SCHEDULES, 108, "6 base_lr x 18 (lr_schedule, averaging, warmup_steps)"),
        (MOMENTA, 54, "2 data_splits_map x 3 momentum x 9 base_lr"),
        (NETWORKS, 4, "4 (model, base_lr, model_pretrained)"),
    ],
    ids=["linear", "schedules", "momenta", "networks"],
)
def test_a_dry_run_plans_all_experiments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, n: int, axes: str
) -> None:
    assert submit_multiple.main([str(write(tmp_path, text)), "-d"]) == 0
    said = capsys.readouterr().out
    assert f"{n} experiments = {axes}\n" in said
    assert said.count("nothing is tracked") == ("wandb: true" in text)


def test_the_values_are_plain_numbers_text_and_dictionaries(tmp_path: Path) -> None:
    experiments = read_job(write(tmp_path, MOMENTA)).experiments
    rates = [e["base_lr"] for e in experiments[:9]]
    assert repr(rates) == repr([2.0**i for i in range(-6, 3)])
    assert list(dict.fromkeys(e["momentum"] for e in experiments)) == [0.0, 0.5, 0.875]
    assert experiments[0]["data_splits_map"] == {"train": "train[:50%]", "test": "test"}
    networks = read_job(write(tmp_path, NETWORKS)).experiments
    assert [(e["base_lr"], e.get("model_pretrained"), e["train_length"]) for e in networks] == [
        (0.2, None, 25),
        (0.1, None, 25),
        (0.001, False, 25),
        (0.001, True, 25),
    ]


def test_schedules_and_averages_have_their_short_names_and_an_input_shape_is_a_number(tmp_path: Path) -> None:
    job = read(
        tmp_path,
        "  dataset: libsvm/covtype.multiclass\n  data_splits_map: \"dict(train='train[:80%]', val=None)\"\n"
        "  model_input_shape: 54\n  averaging: [none, poly, ema]\n  lr_schedule: [poly, poly_1, step, 'step_3,2,1_0.1']\n",
    )
    assert len(job.experiments) == 12
    config = build(job.experiments[-1])
    assert (config.data_splits_map, config.model_input_shape) == ({"train": "train[:80%]"}, [54])
    assert (config.averaging, config.lr_schedule) == ("ema_0.999", "step_3,2,1_0.1")


# --- formulas and options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("base_lr: 10 ** -2", [0.01]),
        ("batch_size: 2 ** 7", [128]),
        ("base_lr: '{0.1, 0.01}'", [0.01, 0.1]),
        ("momentum: 1 - 0.25", [0.75]),
        ("text_columns: 2024-10-31", ["2024-10-31"]),  # text, where a number would be 1983
        ("data_dir: 1/2", ["1/2"]),
        ("model_kwargs: dict(width=3)", [{"width": 3}]),
        ("model_kwargs: '[dict(width=w) for w in (1, 2)]'", [{"width": 1}, {"width": 2}]),
        ("image_mean: '[0.5] * 3'", [[0.5, 0.5, 0.5]]),
        ("image_mean: '[[m] * 3 for m in np.array([0.5, 0.25])]'", [[0.5] * 3, [0.25] * 3]),
    ],
)
def test_a_formula_gives_what_its_option_takes(tmp_path: Path, line: str, values: list[Any]) -> None:
    model = "  model: python/models:Net\n" if "kwargs" in line else ""
    found = [next(iter(e.values())) for e in read(tmp_path, f"  {line}\n{model}").experiments]
    assert repr(found) == repr(values)


def test_a_formula_that_is_wrong_is_reported_with_its_line(tmp_path: Path) -> None:
    assert problems(tmp_path, "  base_lr: 10 ** np.arange(-4, 0)\n  model: net(3)\n") == [
        "5: base_lr: '10 ** np.arange(-4, 0)' cannot be evaluated: whole numbers have no whole negative powers; "
        "write 10.0 ** np.arange(-4, 0)",
        "6: model: 'net(3)' cannot be evaluated: 'net' cannot be called; known: bool, float, int, str, abs, all, any, "
        "dict, enumerate, len, list, max, min, range, reversed, round, sorted, tuple, zip, set, sum; text that is no "
        "formula goes into a list: ['...']",
    ]


# --- job_details ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "tracked"),
    [
        ("", False),
        ("  wandb: false\n", False),
        ("  wandb: null\n", False),
        ("  wandb: false\n  wandb_project_name: mine\n", False),
        ("  wandb: true\n", True),
        ("  wandb_project_name: mine\n", True),
    ],
)
def test_a_job_that_asks_for_wandb_says_that_nothing_is_tracked(tmp_path: Path, details: str, tracked: bool) -> None:
    assert len(read(tmp_path, "  base_lr: 1\n", details).notes) == tracked


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ("  wandb: perhaps\n", "4: wandb 'perhaps' must be true or false"),
        ("  wandb_project_name: [a]\n", "4: wandb_project_name ['a'] must be the name of a project"),
        ("  wandb_project: a\n", "4: unknown key 'wandb_project'; did you mean 'wandb_project_name'?"),
        ("  color: red\n", "4: unknown key 'color'; job_details has name, output_dir, wandb, wandb_project_name"),
    ],
)
def test_another_key_of_job_details_is_an_error(tmp_path: Path, details: str, sentence: str) -> None:
    assert problems(tmp_path, "  base_lr: 1\n", details) == [sentence]
