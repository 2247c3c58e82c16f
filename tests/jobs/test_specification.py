"""Job specifications: how a grid expands, and what is found wrong with one before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from src import config, yaml_io
from src.config import ConfigError
from src.jobs.specification import MAX_EXPERIMENTS, Job, read_job

Read = Callable[[str], Job]

DETAILS = "job_details: {name: grid, output_dir: runs}\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a job with these parameters."""

    def make(parameters: str) -> Job:
        path = tmp_path / "job.yaml"
        path.write_text(f"{DETAILS}parameters:\n{parameters}", encoding="utf-8")
        return read_job(path)

    return make


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_job(path)
    return [problem.replace(f"{path}:", "") for problem in caught.value.problems]


# --- expansion ----------------------------------------------------------------------------------------


def test_a_grid_is_the_product_in_the_order_of_the_file_the_last_key_fastest(read: Read) -> None:
    job = read("  base_lr: [1, 2]\n  model: linear\n  batch_size: [8, 16]\n")
    assert job.experiments == [
        {"base_lr": lr, "model": "linear", "batch_size": batch_size} for lr in (1, 2) for batch_size in (8, 16)
    ]
    assert job.axes == "2 base_lr x 2 batch_size"


def test_text_that_evaluates_to_a_list_is_that_list_and_other_text_is_one_value(read: Read) -> None:
    job = read(
        "  base_lr: '[10**-i for i in range(3)]'\n  averaging: poly_8\n  momentum: '0.9,0.999'\n  optim_alg: adam\n"
    )
    assert [e["base_lr"] for e in job.experiments] == [1, 0.1, 0.01]
    assert {(e["averaging"], e["momentum"]) for e in job.experiments} == {("poly_8", "0.9,0.999")}


def test_the_items_of_a_list_are_never_formulas(read: Read) -> None:
    job = read("  best_checkpoint_metric: ['[a-z]+/(last)/loss']\n")
    assert job.experiments == [{"best_checkpoint_metric": "[a-z]+/(last)/loss"}]


def test_a_list_is_the_union_of_what_its_dictionaries_expand_to(read: Read) -> None:
    job = read(
        "  LIST_models:\n    - {model: linear, base_lr: [1, 2]}\n    - {model: tiny/lenet}\n  batch_size: [8, 16]\n"
    )
    models = [{"model": "linear", "base_lr": 1}, {"model": "linear", "base_lr": 2}, {"model": "tiny/lenet"}]
    assert job.experiments == [{**model, "batch_size": size} for model in models for size in (8, 16)]
    assert job.axes == "3 (model, base_lr) x 2 batch_size"


def test_lists_nest(read: Read) -> None:
    job = read(
        "  LIST_a:\n    - momentum: 0.5\n      LIST_b:\n        - {base_lr: [1, 2]}\n        - {base_lr: 3, warmup_steps: 5}\n"
        "    - momentum: 0\n"
    )
    assert job.experiments == [
        {"momentum": 0.5, "base_lr": 1},
        {"momentum": 0.5, "base_lr": 2},
        {"momentum": 0.5, "base_lr": 3, "warmup_steps": 5},
        {"momentum": 0},
    ]


def test_an_empty_dictionary_in_a_list_is_the_defaults(read: Read) -> None:
    assert read("  LIST: [{}, {averaging: poly_8}]\n").experiments == [{}, {"averaging": "poly_8"}]


def test_zip_takes_the_values_together(read: Read) -> None:
    job = read("  ZIP_size:\n    batch_size: [8, 16]\n    base_lr: '[2**i for i in range(2)]'\n  momentum: [0, 0.9]\n")
    assert job.axes == "2 (batch_size, base_lr) x 2 momentum"
    assert [(e["batch_size"], e["base_lr"], e["momentum"]) for e in job.experiments] == [
        (8, 1, 0),
        (8, 1, 0.9),
        (16, 2, 0),
        (16, 2, 0.9),
    ]


def test_a_list_may_hold_zips(read: Read) -> None:
    job = read(
        "  LIST:\n    - ZIP: {batch_size: [8, 16], base_lr: [1, 2]}\n    - ZIP: {batch_size: [32], base_lr: [3]}\n"
    )
    assert [tuple(e.values()) for e in job.experiments] == [(8, 1), (16, 2), (32, 3)]


def test_a_dictionary_is_one_value_and_a_list_of_them_several(read: Read) -> None:
    one = read("  data_splits_map: {train: train, val: test}\n  model_kwargs: {a: [1, 2]}\n  model: timm/resnet18\n")
    assert len(one.experiments) == 1
    assert one.experiments[0]["model_kwargs"] == {"a": [1, 2]}
    several = read("  data_splits_map: [{train: train, test: test}, \"dict(train='train[:80%]', test='test')\"]\n")
    assert len(several.experiments) == 2


def test_a_split_map_may_be_the_text_of_a_dictionary(read: Read) -> None:
    assert len(read("  data_splits_map: \"dict(train='train[:10%]')\"\n").experiments) == 1


def test_a_flat_list_is_one_shape_and_a_list_of_lists_several(read: Read) -> None:
    assert read("  model_input_shape: [1, 28, 28]\n").experiments == [{"model_input_shape": [1, 28, 28]}]
    assert len(read("  model_input_shape: [[1, 28, 28], [784], null]\n").experiments) == 3


def test_no_parameters_are_one_experiment_with_the_defaults(read: Read) -> None:
    job = read("  {}\n")
    assert (job.experiments, job.axes) == ([{}], "")


OPTIONS = ("base_lr", "batch_size", "momentum", "weight_decay", "warmup_steps", "seed_model", "ada_eps")
VALUES = {"batch_size": [1, 2, 3], "warmup_steps": [1, 2, 3], "seed_model": [1, 2, 3]}


@st.composite
def grids(draw: st.DrawFn) -> list[tuple[str, Any, list[dict[str, Any]]]]:
    """Axes of a job: (key, value in the file, the points that it stands for)."""
    options = list(draw(st.permutations(OPTIONS)))
    axes = []
    for number in range(draw(st.integers(1, 4))):
        if not options:
            break
        option = options.pop()
        values = VALUES.get(option, [0.125, 0.25, 0.5])[: draw(st.integers(1, 3))]
        kind = draw(st.sampled_from(["plain", "LIST", "ZIP"]))
        if kind == "plain" or not options:
            axes.append((option, values, [{option: value} for value in values]))
        elif kind == "LIST":
            axes.append((f"LIST{number}", [{option: v} for v in values], [{option: value} for value in values]))
        else:
            other = options.pop()
            others = VALUES.get(other, [0.125, 0.25, 0.5])[: len(values)]
            points = [{option: a, other: b} for a, b in zip(values, others, strict=True)]
            axes.append((f"ZIP{number}", {option: values, other: others}, points))
    return axes


@given(grids())
def test_any_grid_is_the_product_of_its_axes_in_order(tmp_path_factory: pytest.TempPathFactory, grid: list) -> None:
    path = tmp_path_factory.mktemp("grid") / "job.yaml"
    path.write_text(DETAILS + yaml_io.dump({"parameters": {key: value for key, value, _ in grid}}))
    experiments = read_job(path).experiments
    sizes = [len(points) for _, _, points in grid]
    assert len(experiments) == math.prod(sizes)
    for number, found in enumerate(experiments):
        expected: dict[str, Any] = {}
        for (_, _, points), size in zip(reversed(grid), reversed(sizes), strict=True):
            number, position = divmod(number, size)  # the last axis is the lowest digit
            expected |= points[position]
        assert found == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_list_is_as_long_as_its_elements_together(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("grid") / "job.yaml"
    elements = [{"warmup_steps": i, "seed_model": list(range(size))} for i, size in enumerate(sizes)]
    path.write_text(DETAILS + yaml_io.dump({"parameters": {"LIST": elements, "base_lr": [1, 2]}}))
    assert len(read_job(path).experiments) == 2 * sum(sizes)


# --- problems -------------------------------------------------------------------------------------------

MANY_MISTAKES = """\
job_details:
  name: 'a b; rm -rf ~'
  output_dir: runs
  color: red
parameters:
  LIST_rates:
    - base_lr: [0.1, 0.1]
      momentum: 0.9
    - {modle: linear}
  base_lr: 4
  batch_size: [8, x]
  log_interval: true?
  optim_alg: sdg
  train_length_unit: epochs
  dataset: libsmv/a9a
  model: resnet
  data_splits_map: {test: test}
  weight_decay: 0.1
  weight_decay: 0.2
  seed_model: []
  ZIP_sizes:
    eval_batch_size: [1, 2]
    num_workers: [1, 2, 3]
  host_name: here
  output_dir: elsewhere
  averaging: ema_2
  lr_schedule: '${oc.env:HOME}'
"""


def test_a_file_with_many_mistakes_is_told_each_with_its_line(tmp_path: Path) -> None:
    found = problems(tmp_path / "job.yaml", MANY_MISTAKES)
    for line, sentence in {
        2: "name 'a b; rm -rf ~' must be",
        4: "unknown key 'color'",
        7: "experiments 0 and 4 are the same: base_lr is 0.1 in both",
        9: "unknown option 'modle'; did you mean 'model'?",
        10: "'base_lr' is set twice",
        11: "batch_size: 'x' is not a whole number",
        12: "log_interval: 'true?' is not a whole number",
        13: "unknown optim_alg 'sdg'; did you mean 'sgd'?",
        14: "train_length_unit: 'epochs' is not one of",
        15: "unknown dataset 'libsmv/a9a'; did you mean 'libsvm'?",
        16: "unknown model 'resnet'",
        17: "data_splits_map has no 'train' split",
        19: "'weight_decay' is set twice; the first is on line 18",
        20: "seed_model has an empty list",
        21: "the lists of ZIP_sizes must have one length: eval_batch_size has 2, num_workers has 3",
        24: "'host_name' is filled in by the program",
        25: "output_dir of the experiments follows from that in job_details",
        26: "unknown averaging 'ema_2'",
        27: "a job has no interpolation",
    }.items():
        assert [p for p in found if p.startswith(f"{line}: ") and sentence in p], (line, sentence, found)
    assert len(found) == 19, found  # and each once
    assert found == sorted(found, key=lambda problem: int(problem.split(":")[0]))


def test_a_problem_says_how_many_experiments_it_concerns(tmp_path: Path) -> None:
    found = problems(
        tmp_path / "job.yaml", DETAILS + "parameters:\n  base_lr: [1, 2, x]\n  batch_size: [1, 2]\n  loss: lgo\n"
    )
    assert found[0].startswith("3: base_lr: 'x' is not a number (in 2 of 6 experiments)")
    assert found[1].startswith("5: unknown loss 'lgo'; did you mean 'log'?")
    assert found[1].endswith(" (in 6 of 6 experiments)")


def test_options_that_do_not_go_together_are_found_in_the_experiments_that_have_both(tmp_path: Path) -> None:
    text = DETAILS + "parameters:\n  averaging: [null, poly_8]\n  evaluate: [last, both]\n"
    assert problems(tmp_path / "job.yaml", text) == [
        "4: evaluate 'both' needs an average; set averaging (in 1 of 4 experiments)"
    ]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("  base_lr: [1, 1.0]\n", "3: experiments 0 and 1 are the same: base_lr is 1.0 in both"),
        (
            "  LIST: [{}, {momentum: 0.9}]\n",
            "3: experiments 0 and 1 are the same: momentum is 0.9, its default in both",
        ),
        ("  LIST: [{}, {}]\n", "2: experiments 0 and 1 are the same"),
        (
            "  LIST:\n    - base_lr: 1\n    - base_lr: [2, 1]\n",
            "5: experiments 0 and 2 are the same: base_lr is 1 in both",
        ),
        (
            "  data_splits_map: [{train: train}, \"dict(train='train')\"]\n",
            "3: experiments 0 and 1 are the same: data_splits_map",
        ),
        (
            "  base_lr: [1, 2, 1]\n  batch_size: [1, 2, 3]\n",
            "3: experiments 0 and 6 are the same: base_lr is 1 in both (and 2 more such pairs)",
        ),
    ],
)
def test_a_repeated_experiment_is_named_with_the_value_that_repeats(
    tmp_path: Path, parameters: str, sentence: str
) -> None:
    (found,) = problems(tmp_path / "job.yaml", f"{DETAILS}parameters:\n{parameters}")
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be a dictionary"),
        ("[1, 2]", "must be a dictionary"),
        ("a: [", "not valid YAML"),
        ("!!python/object/apply:os.system ['touch x']", "not valid YAML"),
        ("parameters: {}\n", "job_details is missing"),
        (DETAILS, "there are no parameters"),
        (DETAILS + "parameters: [1]\n", "must be a dictionary"),
        (DETAILS + "parameters: {}\nextra: 1\n", "unknown section 'extra'"),
        ("job_details: {output_dir: runs}\nparameters: {}\n", "job_details has no name"),
        ("job_details: {name: x}\nparameters: {}\n", "job_details has no output_dir"),
        ("job_details: {name: ../x, output_dir: runs}\nparameters: {}\n", "name '../x' must be"),
        ("job_details: {name: x, output_dir: [1]}\nparameters: {}\n", "output_dir [1] must be"),
        (DETAILS + "parameters: {LIST: {base_lr: 1}}\n", "LIST must be a list of dictionaries"),
        (DETAILS + "parameters: {LIST: [1]}\n", "an element of LIST must be a dictionary, not 1"),
        (DETAILS + "parameters: {ZIP: [1]}\n", "ZIP must be a dictionary of lists"),
        (DETAILS + "parameters: {ZIP: {ZIP2: {base_lr: [1]}}}\n", "not a ZIP2"),
        (DETAILS + "parameters: {true: 1}\n", "unknown option 'True'"),
    ],
)
def test_a_file_of_another_form_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in problems(tmp_path / "job.yaml", text)[0]


def test_an_option_in_a_list_and_beside_it_is_set_twice(tmp_path: Path) -> None:
    text = DETAILS + "parameters:\n  LIST_a: [{base_lr: 1}]\n  LIST_b: [{base_lr: 2}, {momentum: 0}]\n"
    (found,) = problems(tmp_path / "job.yaml", text)
    assert found == "4: 'base_lr' is set twice; see 3"


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch ran')",
        "().__class__.__base__.__subclasses__()",
        "[open('ran', 'w')]",
        "9**9**9**9",
        "[0]*10**12",
        "range(10**15)",
        "$(touch ran)",
        "`touch ran`",
        "'; touch ran #",
    ],
)
def test_hostile_text_runs_nothing_and_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert problems(tmp_path / "job.yaml", DETAILS + yaml_io.dump({"parameters": {"model": text, "base_lr": text}}))
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


@pytest.mark.parametrize(
    "parameters",
    [
        "  seed_model: range(1000)\n  seed_training: range(1000)\n",
        "  LIST:\n"
        + "".join(f"    - {{base_lr: {i}, seed_model: range(300), seed_training: range(200)}}\n" for i in (1, 2)),
        "  ZIP: {seed_model: range(400), base_lr: '[i + 1 for i in range(400)]'}\n  seed_training: range(400)\n",
    ],
)
def test_a_grid_that_is_too_large_is_refused_before_it_is_expanded(tmp_path: Path, parameters: str) -> None:
    (found,) = problems(tmp_path / "job.yaml", f"{DETAILS}parameters:\n{parameters}")
    assert f"at most {MAX_EXPERIMENTS}" in found


# --- agreement with Config ------------------------------------------------------------------------------

values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 300), st.floats(allow_nan=True), st.text("ab0.9,_/[]:% ", max_size=8)
)
# not the options whose value is a list, such as model_input_shape, where [1] in a job is one shape and no list of values
SCALARS = sorted(name for name in config.OPTIONS if name != "output_dir" and "a list" not in config.type_name(name))
candidates = st.one_of(
    values,
    st.sampled_from(
        ["adam", "sgd", "poly_8", "both", "last", "0.9,0.999", "timm/resnet18", "sklearn/digits", "tiny/lenet", "0.5"]
    ),
)


@given(st.dictionaries(st.sampled_from(SCALARS), candidates, max_size=5))
def test_a_job_is_refused_exactly_if_config_refuses_its_experiment(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("job") / "job.yaml"
    path.write_text(DETAILS + yaml_io.dump({"parameters": {option: [value] for option, value in options.items()}}))
    try:
        config.build(options)
        fine = True
    except ConfigError:
        fine = False
    try:
        experiments = read_job(path).experiments
        assert fine
        assert repr(experiments) == repr([options])
    except ConfigError as error:
        assert not fine, error


# --- the examples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n", "axes"),
    [
        ("linear-classifier-example", 108, "18 (base_lr, momentum) x 6 batch_size"),
        ("linear-classifier-example-2", 108, "18 (base_lr, momentum) x 6 batch_size"),
        ("digits-example", 12, "6 (model, base_lr) x 2 lr_schedule"),
    ],
)
def test_the_examples_expand_to_what_their_heads_say(name: str, n: int, axes: str) -> None:
    job = read_job(ROOT / "jobs" / f"{name}.yaml")
    assert (job.name, len(job.experiments), job.axes) == (name, n, axes)


def test_the_cifar10_example_is_four_experiments() -> None:
    job = read_job(ROOT / "jobs" / "cifar10-example.yaml")
    assert job.axes == "4 (model, model_pretrained)"
