"""Config files, flags and notebooks of the earlier generation of this code: what they write is understood here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import run_fresh
from results_helpers import make_experiment

from src import config as configs
from src import families, yaml_io
from src.config import Config
from src.jobs.options import read_arguments
from src.jobs.specification import read_job
from src.results import read_experiments, varying
from train import experiment_generator

FLAT = """\
dataset: libsvm/covtype.multiclass
data_splits_map: {train: 'train[:80%]', val: null, test: 'train[80%:]'}
model: linear
model_input_shape: 54
loss: log
batch_size: 2 ** 7
base_lr: 2.0 ** -3
lr_schedule: step
averaging: poly
train_length: 20
seed_model: 1
seed_training: 1
"""


def test_a_flat_config_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "cfg.yaml").write_text(FLAT)
    config = configs.load(tmp_path / "cfg.yaml", ["weight_decay=10.0 ** -4"])
    assert config.data_splits_map == {"train": "train[:80%]", "test": "train[80%:]"}
    assert (config.model_input_shape, config.batch_size) == ([54], 128)
    assert (config.base_lr, config.weight_decay, config.averaging) == (0.125, 10.0**-4, "poly_8")


@pytest.mark.parametrize(
    ("option", "written", "meant"),
    [
        ("averaging", "none", None),
        ("averaging", "poly", "poly_8"),
        ("averaging", "ema", "ema_0.999"),
        ("model_input_shape", 784, [784]),
        ("metrics", "accuracy", ["accuracy"]),
        ("train_length", "10 * 2", 20),
        ("early_stopping_patience", "2 + 1", 3),
        ("base_lr", "np.sqrt(0.25)", 0.5),
        ("data_splits_map", "dict(train='train', test=None)", {"train": "train"}),
    ],
)
def test_a_short_form_is_the_value_that_it_stands_for(option: str, written: Any, meant: Any) -> None:
    value = getattr(configs.build({option: written}), option)
    assert value == meant and type(value) is type(meant)


@pytest.mark.parametrize(
    ("option", "written", "sentence"),
    [
        ("base_lr", "fast", "base_lr: 'fast' is not a number"),
        ("base_lr", "[0.1, 0.2]", r"base_lr: \[0.1, 0.2\] is not a number"),
        ("base_lr", "open('x')", "'open' cannot be called"),
        ("batch_size", "2 ** -1", "not a whole number"),
        ("model_input_shape", "wide", "model_input_shape: 'wide' is not a list of whole numbers"),
        ("model_input_shape", True, "True is not a list of whole numbers"),
        ("data_splits_map", {"train": None}, "no 'train' split"),
    ],
)
def test_what_is_no_such_form_is_refused(option: str, written: Any, sentence: str) -> None:
    with pytest.raises(configs.ConfigError, match=sentence):
        configs.build({option: written})


def test_two_ways_to_write_a_value_are_one_experiment(tmp_path: Path) -> None:
    job = {"job_details": {"name": "twice", "output_dir": "runs"}, "parameters": {"averaging": ["poly", "poly_8"]}}
    (tmp_path / "job.yaml").write_text(yaml_io.dump(job))
    with pytest.raises(configs.ConfigError, match="experiments 0 and 1 are the same"):
        read_job(tmp_path / "job.yaml")


@pytest.mark.parametrize(
    ("option", "name", "other"),
    [
        ("dataset", "timm/imagenet", "torch/imagenet"),
        ("model", "clip/vit_b32", "ViT-B-32:openai"),
        ("model", "clip/vit_l14_336", "ViT-L-14-336:openai"),
        ("model", "clip/rn50x16", "RN50x16:openai"),
        ("model", "clip_zeroshot/vit_b16", "ViT-B-16:openai"),
        ("model", "clip/ViT-B-32", "ViT-B-32"),
    ],
)
def test_an_alias_is_another_name_of_the_library(option: str, name: str, other: str) -> None:
    assert families.find(option, name, families.TABLES[option])[1] == other


def test_the_aliases_of_clip_are_weights_of_open_clip() -> None:
    open_clip = pytest.importorskip("open_clip")
    for name in families.MODELS["clip"].aliases.values():
        assert open_clip.is_pretrained_cfg(*name.split(":"))


@pytest.mark.parametrize("flags", [["--dry_run", "--rerun"], ["--dry-run", "--retry"], ["-d", "-r"]])
def test_flags_may_be_written_as_before(flags: list[str]) -> None:
    arguments = read_arguments(["job_file.yaml", *flags, "--sbatch=--job_name=x"], None)
    assert arguments.dry_run and arguments.retry
    assert arguments.job == Path("job_file.yaml") and arguments.sbatch == "--job_name=x"


def test_config_is_imported_from_src_and_src_stays_light() -> None:
    done = run_fresh(
        "-c", "import sys, src; print('omegaconf' in sys.modules); from src import Config; print(Config().loss)"
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False", "log"]), done.stderr
    assert "cannot import name 'Confg'" in run_fresh("-c", "from src import Confg").stderr


def test_big_df_says_which_experiments_are_done(tmp_path: Path) -> None:
    make_experiment(tmp_path / "0", {"base_lr": 1})
    make_experiment(tmp_path / "1", {"base_lr": 2}, status="failed")
    big_df = read_experiments(tmp_path)
    assert big_df["is_done"].tolist() == [True, False] and big_df["is_done"].dtype == bool
    assert varying(big_df) == ["base_lr"]


def test_a_run_has_the_rates_of_its_schedule(small: Callable[..., Config]) -> None:
    config = small(lr_schedule="poly", base_lr="2.0 ** -3", averaging="none", train_length=2, steps_per_epoch=3)
    *_, (stats, _) = experiment_generator(config)
    assert stats["train/learning_rate"].tolist() == pytest.approx([2**-3 / 3**0.5, 2**-3 / 6**0.5])
