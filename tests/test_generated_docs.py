"""docs/generate.py: its files are up to date with Config, and the schemas say what the program says."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, run_command
from jsonschema import Draft202012Validator

from src import config, yaml_io

GENERATE = ROOT / "docs" / "generate.py"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "docs" / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


CONFIGS, JOBS = validator("config.schema.json"), validator("job.schema.json")


def job(**parameters: Any) -> dict[str, Any]:
    return {"job_details": {"name": "test", "output_dir": "runs"}, "parameters": parameters}


def test_the_generated_files_are_in_step_with_config() -> None:
    done = run_command(GENERATE, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_the_file_that_is_out_of_step_and_writes_nothing(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (docs / "options.md").write_text("old")

    def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, docs / "generate.py", *arguments], capture_output=True, text=True)

    checked = generate("--check")
    assert checked.returncode == 1
    assert "docs/options.md is out of date" in checked.stdout
    assert "schema" not in checked.stdout
    assert (docs / "options.md").read_text() == "old"
    assert generate().returncode == 0
    assert generate("--check").returncode == 0


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_accepts_the_configs_to_start_from(path: Path) -> None:
    CONFIGS.validate(yaml_io.read(path).data)


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_accepts_the_jobs_to_start_from(path: Path) -> None:
    JOBS.validate(yaml_io.read(path).data)


def test_there_are_configs_and_jobs_to_start_from() -> None:
    assert list((ROOT / "configs").glob("*.yaml")) and list((ROOT / "jobs").glob("*.yaml"))


def test_the_defaults_are_a_valid_config_file() -> None:
    defaults = config.to_dict(config.Config()) | dict.fromkeys(config.FILLED)
    CONFIGS.validate({name: value for name, value in defaults.items() if name not in config.FILLED})
    CONFIGS.validate({"base": ["one.yaml", "two.yaml"]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"bach_size": 32},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"base_lr": "fast"},
        {"base_lr": -1},
        {"max_allowed_loss": 0},
        {"loss": "logg"},
        {"model_head_init": "ones"},
        {"log_to_stdout": "perhaps"},
        {"data_splits_map": {"test": "test"}},
        {"model_input_shape": ["wide"]},
        {"data_n_examples": 5},
    ],
    ids=str,
)
def test_the_schemas_refuse_what_the_program_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(config.ConfigError):
        config.build(wrong)
    assert not CONFIGS.is_valid(wrong)
    assert not JOBS.is_valid(job(**wrong))
    assert not JOBS.is_valid(job(LIST_a=[{"ZIP_b": wrong}]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"base_lr": "[10**-i for i in range(3)]", "batch_size": "range(1, 5)", "momentum": "np.linspace(0, 0.9, 4)"},
        {"LIST_a": [{"model": "linear"}, {"model": "tiny/lenet", "LIST_b": [{"base_lr": 1}, {"base_lr": [1e-3, 2]}]}]},
        {"ZIP_a": {"batch_size": [1, 2], "base_lr": "[0.1, 0.2]"}},
        {"base_lr": "10.0 ** np.arange(-4, 0)", "batch_size": "2 ** 7", "momentum": "{0, 0.9}"},
        {"averaging": [None, "poly_8"], "model_input_shape": [[1, 8, 8], [64]], "loss": ["log", "mse"]},
        {"model_input_shape": [1, 8, 8], "data_splits_map": [{"train": "train"}, "dict(train='train[:50%]')"]},
    ],
    ids=str,
)
def test_the_job_schema_accepts_formulas_lists_and_zips(parameters: dict[str, Any]) -> None:
    JOBS.validate(job(**parameters))


def test_the_job_schema_accepts_that_a_job_asks_for_wandb() -> None:
    details = {"name": "test", "output_dir": "runs", "wandb": True, "wandb_project_name": "mine"}
    JOBS.validate({"job_details": details, "parameters": {}})
    assert not JOBS.is_valid({"job_details": details | {"wandb": "perhaps"}, "parameters": {}})


def test_the_job_schema_refuses_unknown_sections_and_details() -> None:
    assert not JOBS.is_valid(job() | {"parametres": {}})
    assert not JOBS.is_valid({"job_details": {"name": "test"}, "parameters": {}})
    assert not JOBS.is_valid({"job_details": {"name": "test", "output_dir": "runs", "nam": 1}, "parameters": {}})
    assert not JOBS.is_valid(job(output_dir="runs"))  # it follows from job_details


GRAMMARS = runpy.run_path(str(GENERATE))["GRAMMARS"]
EXAMPLES = [(option, example) for option, forms in GRAMMARS.items() for _, example, _ in forms]


@pytest.mark.parametrize(("option", "example"), EXAMPLES, ids=str)
def test_every_example_of_a_form_in_the_documents_is_understood(option: str, example: Any) -> None:
    value = {"train": example} if option == "data_splits_map" else example
    config.build({option: value, "optim_alg": "adam"})  # adam, whose momentum may be two betas
