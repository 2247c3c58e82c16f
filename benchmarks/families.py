"""Every family of data and of models once, on small data that are made here, without a network.

    python benchmarks/families.py [--write]

The loading code of each family runs on files of the published formats. Prints a Markdown table: what was run, where
it is tested, the seconds of reading, training and evaluating, and the test accuracy after the steps.
`--write` also writes the table into docs/models.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
WORK = Path(tempfile.mkdtemp(prefix="families-"))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(WORK / "hub")}  # before any of its users is imported

from src import config as configs  # noqa: E402
from train import experiment_generator  # noqa: E402

COMMON = {"num_workers": 0, "seed_model": 0, "seed_training": 0, "output_dir": None}
IMAGE_NET = {"model": "tiny/lenet", "batch_size": 50, "train_length": 8, "base_lr": 0.01}
ADAMW = {"optim_alg": "adamw", "base_lr": 0.003, "batch_size": 32, "train_length": 8}
CUT = {"data_splits_map": {"train": "train[:80%]", "test": "train[80%:]"}}
FOLDERS = {"data_splits_map": {"train": "train", "test": "val"}}
PAGE = ROOT / "docs" / "models.md"
MARKS = ("<!-- families: python benchmarks/families.py --write -->", "<!-- end of families -->")  # around the table


@dataclass
class Case:
    """A row of the table. `make(stack, folder)` makes the data, and returns the options of the run."""

    title: str  # data; model
    test: str
    make: Callable[[ExitStack, Path], dict[str, Any]]


def _libsvm(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import dump_svmlight_file, load_breast_cancer

    path = folder / "cancer.svm"
    dump_svmlight_file(*load_breast_cancer(return_X_y=True), str(path))
    return CUT | {"dataset": f"libsvm/{path}", "model": "linear", "train_length": 20}


def _sparse(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from sklearn.datasets import dump_svmlight_file, load_digits

    path = folder / "digits.svm"
    dump_svmlight_file(*load_digits(return_X_y=True), str(path))
    return CUT | {"dataset": f"libsvm/{path}", "max_dense_gb": 0, "model": "linear/no_bias", "train_length": 20}


def _sklearn(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return CUT | {"dataset": "sklearn/digits", "model": "tiny/resnet_8", "train_length": 3, "base_lr": 0.1}


def _python(stack: ExitStack, folder: Path) -> dict[str, Any]:
    (folder / "my_own.py").write_text(
        "import torch\nfrom sklearn.datasets import make_moons\nfrom torch import nn\n\n\n"
        "class Moons(torch.utils.data.TensorDataset):\n    n_classes = 2\n\n"
        "    def __init__(self, split, data_dir):\n"
        "        x, y = make_moons(500, noise=0.2, random_state={'train': 0, 'test': 1}[split])\n"
        "        super().__init__(torch.from_numpy(x).float(), torch.from_numpy(y))\n\n\n"
        "def net(num_classes, input_shape, width=50):\n"
        "    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    sys.path.insert(0, str(folder))
    return {"dataset": "python/my_own:Moons", "model": "python/my_own:net", "base_lr": 0.1, "train_length": 20}


def _mnist(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import make_mnist

    make_mnist(folder)
    return IMAGE_NET | {"dataset": "timm/torch/mnist"}


def _cifar(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import made_cifar

    stack.enter_context(made_cifar(folder))
    return IMAGE_NET | {"dataset": "timm/torch/cifar10", "hflip": 0.5, "random_crop_padding": 4}


def _folder(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_timm import make_class_folders

    images = make_class_folders(folder / "images", n_each=40)
    return IMAGE_NET | FOLDERS | {"dataset": f"timm/folder/{images}", "auto_augment": "rand-m5-mstd0.5-inc1"}


def _hfds(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return _folder(stack, folder) | {
        "dataset": f"timm/hfds/{folder / 'images'}",
        "data_splits_map": {"train": "train", "test": "validation"},
        "train_length": 12,
        "mixup_alpha": 0.1,
    }


def _tfds(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_tfds import make_cifar10

    make_cifar10(folder, 2000, 400)
    return {
        "dataset": "tfds/cifar10",
        "data_splits_map": {"train": "train[:90%]", "val": "train[90%:]", "test": "test"},
        "model": "tiny/resnet_8",
        "batch_size": 64,
        "base_lr": 0.1,
        "train_length": 4,
    }


def _hf_text(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_hf import make_bert, make_texts

    make_texts(folder / "films")
    make_bert(folder / "bert")
    return ADAMW | {
        "dataset": f"hf/{folder / 'films'}",
        "model": f"hf/{folder / 'bert'}",
        "batch_size": 16,
        "train_length": 4,
    }


def _hf_image(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from data.made_hf import make_images, make_vit

    make_images(folder / "colours")
    make_vit(folder / "vit")
    return ADAMW | {"dataset": f"hf/{folder / 'colours'}", "model": f"hf/{folder / 'vit'}", "base_lr": 1e-3}


def _images_for(model: dict[str, Any], folder: Path) -> dict[str, Any]:
    from data.made_timm import make_class_folders

    images = make_class_folders(folder / "images", n_each=60)
    return ADAMW | FOLDERS | {"dataset": f"timm/folder/{images}", "model_pretrained": True} | model


def _timm(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from models.made_timm import make_hub_weights

    if not (WORK / "hub").exists():
        make_hub_weights(WORK / "hub", "test_vit")
    return _images_for({"model": "timm/test_vit", "image_size": 32, "layer_decay": 0.8}, folder)


def _timm_probe(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return _timm(stack, folder) | {"layer_decay": None, "model_freeze": "backbone", "base_lr": 0.03}


def _clip(stack: ExitStack, folder: Path) -> dict[str, Any]:
    from models.made_clip import make_clip

    make_clip(folder / "clip")
    return _images_for({"model": f"clip/local-dir:{folder / 'clip'}"}, folder)


def _zero_shot(stack: ExitStack, folder: Path) -> dict[str, Any]:
    return _clip(stack, folder) | {"model": f"clip_zeroshot/local-dir:{folder / 'clip'}"}


CASES = [
    Case("`libsvm/<path>`; `linear`", "tests/data/test_load_libsvm.py", _libsvm),
    Case("`libsvm/<path>`, sparse; `linear/no_bias`", "tests/data/test_sparse_training.py", _sparse),
    Case("`sklearn/digits`; `tiny/resnet_8`", "tests/data/test_load_other_data.py", _sklearn),
    Case("`python/...`; `python/...`", "tests/data/test_load_other_data.py", _python),
    Case("`timm/torch/mnist`; `tiny/lenet`", "tests/data/test_timm_data.py", _mnist),
    Case("`timm/torch/cifar10`, flips and shifts; `tiny/lenet`", "tests/data/test_timm_data.py", _cifar),
    Case("`timm/folder/<path>`, RandAugment; `tiny/lenet`", "tests/data/test_timm_data.py", _folder),
    Case("`timm/hfds/<path>`, RandAugment, mixup; `tiny/lenet`", "tests/data/test_timm_data.py", _hfds),
    Case("`tfds/cifar10`; `tiny/resnet_8`", "tests/data/test_tfds.py", _tfds),
    Case("`hf/<path>`, text; `hf/<path>` (BERT)", "tests/models/test_hf_models.py", _hf_text),
    Case("`hf/<path>`, images; `hf/<path>` (ViT)", "tests/models/test_hf_models.py", _hf_image),
    Case("`timm/folder/<path>`; `timm/test_vit`, pretrained, layer decay", "tests/models/test_timm_models.py", _timm),
    Case("`timm/folder/<path>`; `timm/test_vit`, linear probe", "tests/models/test_freezing.py", _timm_probe),
    Case("`timm/folder/<path>`; `clip/<path>`, fine-tuned", "tests/models/test_clip.py", _clip),
    Case("`timm/folder/<path>`; `clip_zeroshot/<path>`, then fine-tuned", "tests/models/test_clip.py", _zero_shot),
]


def run(case: Case) -> str:
    """The row of the table."""
    with tempfile.TemporaryDirectory(dir=WORK) as name, ExitStack() as stack:
        folder = Path(name)
        options = COMMON | {"data_dir": name} | case.make(stack, folder) | {"output_dir": str(folder / "run")}
        start = time.perf_counter()
        *_, (stats, _) = experiment_generator(configs.build(options))
        seconds = time.perf_counter() - start
    accuracy = stats["test/last/accuracy"].iloc[-1]
    test = f"[{Path(case.test).name}]({os.path.relpath(ROOT / case.test, PAGE.parent)})"
    return f"| {case.title} | {test} | {seconds:.1f} | {stats['step'].iloc[-1]} | {accuracy:.1%} |"


def main(arguments: list[str]) -> int:
    lines = ["| data; model | offline test | seconds | steps | test accuracy |", "| --- | --- | --: | --: | --: |"]
    print("\n".join(lines), flush=True)
    for case in CASES:
        lines.append(run(case))
        print(lines[-1], flush=True)
    if "--write" in arguments:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(before + "\n".join([MARKS[0], *lines, MARKS[1]]) + after)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        shutil.rmtree(WORK)
