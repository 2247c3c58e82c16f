"""Config: loading, overriding, checking."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT, run_command, run_fresh
from hypothesis import given
from hypothesis import strategies as st

from src import config as config_module
from src import hints, yaml_io
from src.config import Config, ConfigError


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_module.load(path, overrides)
    return caught.value.problems


def test_released_names_and_defaults_never_change() -> None:
    released = yaml.safe_load((ROOT / "tests" / "released_options.yaml").read_text())
    now = config_module.DEFAULTS
    assert {name: now.get(name, "gone") for name in released} == released
    assert sorted(now) == sorted(released), "add new options to tests/released_options.yaml when they are released"


def test_every_option_says_what_it_means() -> None:
    for name, field in config_module.FIELDS.items():
        assert len(field.metadata["meaning"]) > 10, name


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("base_lr: 1", "base_lr", 1.0),
        ("base_lr: 1e-3", "base_lr", 0.001),
        ("train_length: 1e4", "train_length", 10_000),
        ("momentum: 0", "momentum", 0.0),
        ("optim_alg: adam\nmomentum: '0.9,0.99'", "momentum", "0.9,0.99"),
        ("eval_batch_size: null", "eval_batch_size", None),
        ("data_splits_map: \"dict(train='train[:80%]', val='test')\"", "data_splits_map", {"train": "train[:80%]", "val": "test"}),
        ("data_splits_map: \"{'train': 'train'}\"", "data_splits_map", {"train": "train"}),
        ("model: timm/x\nmodel_kwargs: {depth: 3, nested: {a: [1, 2]}}", "model_kwargs", {"depth": 3, "nested": {"a": [1, 2]}}),
        ("base_lr: 0.5\nweight_decay: ${base_lr}", "weight_decay", 0.5),
    ],
)  # fmt: skip
def test_values_become_the_type_of_their_option(tmp_path: Path, text: str, option: str, value: Any) -> None:
    (tmp_path / "cfg.yaml").write_text(text)
    read = getattr(config_module.load(tmp_path / "cfg.yaml"), option)
    assert read == value and type(read) is type(value)


def test_an_empty_dictionary_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "cfg.yaml").write_text("{}\n")
    assert config_module.load(tmp_path / "cfg.yaml") == Config()


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_rejected_since_it_may_be_one_that_was_not_saved(tmp_path: Path, text: str) -> None:
    (tmp_path / "cfg.yaml").write_text(text)
    done = run_command("train.py", tmp_path / "cfg.yaml")
    assert (done.returncode, done.stderr) == (
        2,
        f"{tmp_path / 'cfg.yaml'}: is empty; write its options, or {{}} for a run with the defaults\n",
    )


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("model: linear\nbase_lr:0.1\nbatch_size: 3\n", 2, "no space after the colon"),
        ("base_lr:0.1\n", 1, "no space after the colon"),
        ("model: linear\nbase_lr = 0.1\nbatch_size: 3\n", 2, "an equals sign; write 'option: value'"),
        ("base_lr:\u00a00.1\nmodel: linear\n", 1, "a no-break space"),
        ("data_splits_map:\n    train: train\n  test: test\n", 3, "its indentation is that of no line above"),
        ("model_kwargs:\n\twidth: 1\n", 2, "a tab; YAML is indented with spaces"),
        ("seed_model: 010\n", 1, "YAML reads 010 as 8, in octal"),
        ("train_length: 1:30\n", 1, "YAML reads 1:30 as 90, in base 60"),
        ("lr: 1\n", 1, "unknown option 'lr'; did you mean 'base_lr'?"),
        ("epochs: 1\n", 1, "did you mean 'train_length'?"),
        ("seed: 1\n", 1, "did you mean 'seed_model' and 'seed_training'?"),
        ("amp: true\n", 1, "unknown option 'amp'; training is in float32; remove it"),
        ("base_lr: 0.1, 0.01\n", 1, "give one value here (a job file tries each of a list in brackets"),
        ("base_lr: [0.1, 0.01]\n", 1, "give one value here (a job file tries each of a list in brackets"),
        ("base_lr:\n", 1, "give it a value, or remove the line for the default 1.0"),
        ("averaging: None\n", 1, "'None' is text in YAML; write null"),
        ("eval_batch_size: None\n", 1, "is not a whole number or null; write null"),
    ],
)
def test_a_slip_of_the_pen_is_one_sentence_with_its_line_and_the_way_out(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    (tmp_path / "cfg.yaml").write_text(text)
    (found,) = problems(tmp_path / "cfg.yaml")
    assert found.startswith(f"{tmp_path / 'cfg.yaml'}:{line}: ") and sentence in found


def test_a_bad_split_is_one_problem_and_not_also_that_of_the_default_splits(tmp_path: Path) -> None:
    (tmp_path / "cfg.yaml").write_text("dataset: sklearn/iris\ndata_splits_map: {train: 'train['}\n")
    (found,) = problems(tmp_path / "cfg.yaml")
    assert found.startswith(f"{tmp_path / 'cfg.yaml'}:2: split 'train[' cannot be read")


def test_every_name_of_other_tools_leads_to_options_that_exist() -> None:
    for name, meant in hints.OTHER_NAMES.items():
        assert name not in config_module.OPTIONS
        assert " " in meant.replace(" and ", "&") or set(meant.split(" and ")) <= set(config_module.OPTIONS), name


def test_a_config_made_with_a_mistyped_option_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="unknown option 'train_lenght'; did you mean 'train_length'"):
        Config(train_lenght=3)  # type: ignore[call-arg]


def test_a_base_is_relative_to_its_file_and_overridden_by_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text("base: ../b.yaml\nbase_lr: 2\n")
    (tmp_path / "b.yaml").write_text("base_lr: 1\nbatch_size: 7\ndata_splits_map: {train: train}\n")
    config = config_module.load(tmp_path / "deep" / "a.yaml", ["batch_size=8", "data_splits_map.val=test[:10]"])
    assert (config.base_lr, config.batch_size) == (2.0, 8)
    assert config.data_splits_map == {"train": "train", "val": "test[:10]"}


def test_a_base_that_leads_back_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: [a.yaml]\n")
    assert "is its own base" in problems(tmp_path / "a.yaml")[0]


def test_all_problems_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    path, base = tmp_path / "cfg.yaml", tmp_path / "base.yaml"
    base.write_text("batch_size: 0\n")
    path.write_text(
        "base: base.yaml\nbase_rl: 1\nloss: lgo\nbase_lr: fast\nbase_lr: fast\nhost_name: me\n"
        "averaging: ema_2\nlr_schedule: steps\nmodel: tiny/lenett\nsteps_per_epoch: 1\nsamples_per_epoch: 2\n"
    )
    found = "\n".join(problems(path, "train_length=1.5", "nonsense", "model_kwargs=3"))
    for sentence in [
        f"{base}:1: batch_size must be at least 1, not 0",
        f"{path}:2: unknown option 'base_rl'; did you mean 'base_lr'?",
        f"{path}:3: unknown loss 'lgo'; did you mean 'log'?",
        f"{path}:5: 'base_lr' is set twice; the first is on line 4",
        f"{path}:5: base_lr: 'fast' is not a number",
        f"{path}:6: 'host_name' is filled in by the program; remove it",
        f"{path}:7: unknown averaging 'ema_2'",
        f"{path}:8: unknown lr_schedule 'steps'",
        f"{path}:9: unknown model 'tiny/lenett'",
        f"{path}:11: steps_per_epoch and samples_per_epoch",
        "command line: train_length: 1.5 is not a whole number",
        "command line: 'nonsense' is not of the form key=value",
        "command line: model_kwargs: 3 is not a dictionary",
    ]:
        assert sentence in found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base_lr: [", "cfg.yaml:2: not valid YAML"),
        ("- base_lr", "must hold lines of the form"),
        ("base_lr: !!python/object/apply:os.system [touch /tmp/x]", "not valid YAML"),
        ("a: &a [*a]", "an alias contains itself"),
        ("base: 3", "base must be a file name"),
    ],
)
def test_a_file_that_is_no_config_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "cfg.yaml").write_text(text)
    (found,) = problems(tmp_path / "cfg.yaml")
    assert sentence in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == [f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"]


def test_what_a_run_has_recorded_may_be_read_back_whatever_the_file_is_called(tmp_path: Path) -> None:
    filled = dict.fromkeys(config_module.FILLED) | {"host_name": "there", "data_n_classes": 10}
    record = config_module.to_dict(Config(output_dir="runs/a", base_lr=0.25)) | filled
    (tmp_path / "kept.yaml").write_text(yaml_io.dump(record))
    again = config_module.load(tmp_path / "kept.yaml")
    assert (again.base_lr, again.output_dir) == (0.25, None)


def test_ones_own_file_called_config_yaml_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("output_dir: runs/mine\nbase_lr: 0.25\n")
    assert config_module.load(tmp_path / "config.yaml").output_dir == "runs/mine"
    (tmp_path / "config.yaml").write_text("host_name: here\n")
    assert "filled in by the program" in problems(tmp_path / "config.yaml")[0]


@pytest.mark.parametrize("option", ["output_dir", "data_dir"])
def test_a_home_and_a_variable_in_a_folders_name_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "cfg.yaml"
    for name in ("~/here", "$HOME/here"):
        path.write_text(f"{option}: {name}\n")
        assert getattr(config_module.load(path), option) == str(tmp_path / "here")
    for name, sentence in [("''", "no folder is named"), ("$NOT_SET/a", "names $NOT_SET, which is not set")]:
        path.write_text(f"{option}: {name}\n")
        assert sentence in problems(path)[0]


def test_a_config_is_what_was_asked_and_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().base_lr = 2.0  # type: ignore[misc]


values = {
    "base_lr": st.floats(0, 1e6),
    "momentum": st.one_of(st.floats(0, 0.999), st.just("0.9,0.95")),
    "batch_size": st.integers(1, 10**9),
    "save_best_checkpoint": st.booleans(),
    "seed_model": st.one_of(st.none(), st.integers(0, 2**40)),
    "output_dir": st.one_of(
        st.none(), st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"], exclude_characters="$"), min_size=1)
    ),
    "averaging": st.one_of(st.none(), st.floats(0, 100).map(lambda eta: f"poly_{eta:.4f}")),
    "model_input_shape": st.one_of(st.none(), st.lists(st.integers(1, 500), min_size=1, max_size=4)),
    "model_kwargs": st.dictionaries(
        st.text("abc_", min_size=1), st.one_of(st.integers(), st.booleans(), st.text("xyz1e-."))
    ),
}


@given(st.fixed_dictionaries({"optim_alg": st.just("adam"), "model": st.just("timm/x")}, optional=values))
def test_a_config_written_and_read_is_the_same_config(chosen: dict[str, Any]) -> None:
    config = config_module.build(chosen)
    assert config_module.build(yaml_io.parse(yaml_io.dump(config_module.to_dict(config)), "text").data) == config


def test_reading_configs_imports_nothing_heavy() -> None:
    script = "import sys, src.config; src.config.build({}); print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    assert run_fresh("-c", script).stdout.strip() == "[]"
