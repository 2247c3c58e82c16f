"""The published job jobs/cifar10-example.yaml from its expansion to its results, without a network."""

from __future__ import annotations

from pathlib import Path

import yaml
from data.made_tfds import make_cifar10
from helpers import ROOT
from models.made_timm import make_hub_weights

import submit_multiple
from src.results import read_experiments


def shortened(tmp_path: Path) -> Path:
    """A copy of the job with two steps an experiment instead of 50 epochs, whose data and results are in tmp_path."""
    job = yaml.safe_load((ROOT / "jobs/cifar10-example.yaml").read_text())
    job["job_details"]["output_dir"] = str(tmp_path / "runs")
    job["parameters"] |= {"data_dir": str(tmp_path / "data"), "data_download": False, "device": "cpu"}
    job["parameters"] |= {"train_length": 2, "train_length_unit": "step", "warmup_steps": 1, "batch_size": 2}
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job, sort_keys=False))
    return path


def test_its_four_experiments_run_on_a_stand_in_for_the_data(tmp_path, monkeypatch, warm_local):
    make_cifar10(tmp_path / "data", 20, 4)
    make_hub_weights(tmp_path / "hf/hub", "resnet18")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert submit_multiple.main([str(shortened(tmp_path)), "--local", "2", "-y"]) == 0

    big_df = read_experiments(str(tmp_path / "runs/*"))
    assert set(zip(big_df.model, big_df.model_pretrained, big_df.status, strict=True)) == {
        ("tiny/resnet_20", False, "done"),
        ("tiny/vgg_11", False, "done"),
        ("timm/resnet18", False, "done"),
        ("timm/resnet18", True, "done"),
    }
    assert list(big_df.data_split_sizes) == [{"train": 18, "val": 2, "test": 4}] * 4
    for folder, row in big_df.iterrows():
        assert row.step.iloc[-1] == 2
        for figure in ("train/loss", "val/last/loss", "val/last/accuracy", "test/last/accuracy"):
            assert row[figure].notna().iloc[-1]
        assert Path(folder, "best_checkpoint.pt").exists()
