"""build_model over every family: shapes, gradients, refusals, the last layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src import config as configs
from src.models import build_model

SHAPES = [(1, 8, 8), (3, 32, 32), (4, 9, 13)]
TINY = [
    "tiny/lenet",
    "tiny/resnet_8",
    "tiny/vgg_11",
    "tiny/vgg_19",
    "tiny/wrn_10_1",
    "tiny/wrn_10_1_0.3",
    "tiny/resnet_18",
]


def build(name: str, shape: tuple[int, ...], outputs: int = 5, **options: Any) -> nn.Module:
    return build_model(configs.build({"model": name, **options}), shape, outputs)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["linear", "linear/no_bias", *TINY, "timm/resnet10t", "timm/test_efficientnet"])
def test_every_model_maps_a_batch_to_outputs_and_every_parameter_gets_a_gradient(
    name: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = build(name, shape)
    outputs = model(torch.randn(2, *shape))
    assert outputs.shape == (2, 5)
    outputs.square().sum().backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), label


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 40)])
def test_a_tiny_model_trains_on_a_last_batch_of_one_sample(name: str, shape: tuple[int, ...]) -> None:
    build(name, shape).train()(torch.randn(1, *shape)).sum().backward()


@pytest.mark.parametrize(
    ("name", "millions"),  # as published for CIFAR-10 (projections in place of padding add a little to resnet_20)
    [
        ("tiny/resnet_20", 0.27),
        ("tiny/resnet_56", 0.86),
        ("tiny/wrn_16_4", 2.75),
        ("tiny/vgg_16", 14.7),
        ("tiny/resnet_18", 11.17),
        ("tiny/resnet_34", 21.28),
        ("tiny/resnet_50", 23.52),
        ("tiny/resnet_101", 42.51),
        ("tiny/resnet_152", 58.15),
    ],
)
def test_tiny_models_have_their_published_size(name: str, millions: float) -> None:
    assert parameters(build(name, (3, 32, 32), 10)) / 1e6 == pytest.approx(millions, rel=0.015)


def test_a_deep_resnet_trains_on_one_small_sample() -> None:
    build("tiny/resnet_50", (1, 8, 8)).train()(torch.randn(1, 1, 8, 8)).sum().backward()


def test_a_wide_resnet_has_the_dropout_in_its_name_between_its_convolutions() -> None:
    torch.manual_seed(0)
    model, x = build("tiny/wrn_10_1_0.3", (3, 8, 8)), torch.randn(4, 3, 8, 8)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.3] * 3
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    plain = build("tiny/wrn_10_1", (3, 8, 8))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(plain.eval()(x), model(x))


def test_lenet_is_small_on_digits_and_does_not_grow_with_the_image() -> None:
    assert parameters(build("tiny/lenet", (1, 8, 8), 10)) == 85_066
    assert parameters(build("tiny/lenet", (1, 64, 64), 10)) == 85_066


def test_linear_is_one_layer_with_a_bias_only_if_asked_for() -> None:
    assert parameters(build("linear", (3, 4, 4), 7)) == 3 * 4 * 4 * 7 + 7
    assert parameters(build("linear/no_bias", (3, 4, 4), 7)) == 3 * 4 * 4 * 7


def test_the_same_seed_gives_the_same_weights() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build("tiny/resnet_8", (1, 8, 8)))
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("shape", [(64,), (1, 7, 32), (1, 32, 7), (8, 8)])
@pytest.mark.parametrize("name", TINY)
def test_tiny_models_refuse_what_is_no_image_or_too_small(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 8x8.*model_input_shape.*views flat data as an image"):
        build(name, shape)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tiny/resnet_21", r"6n\+2 layers"),
        ("tiny/resnet_2", r"6n\+2 layers"),
        ("tiny/wrn_17_2", r"6n\+4 layers"),
        ("tiny/wrn_16_4_1.5", r"tiny/wrn_28_10_0.3 \(dropout\)"),
        ("tiny/vgg_12", r"tiny/vgg_11 \(13, 16, 19\)"),
    ],
)
def test_a_depth_that_does_not_exist_is_answered_with_those_that_do(name: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        build(name, (3, 32, 32))


# --- sparse ---------------------------------------------------------------------------------------------


BETA = pytest.mark.filterwarnings("ignore:Sparse")  # torch calls its CSR tensors a beta feature


@BETA
@pytest.mark.parametrize("name", ["linear", "linear/no_bias"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_sparse_batch_gives_the_outputs_and_gradients_of_the_dense_one(name: str, outputs: int) -> None:
    torch.manual_seed(0)
    model = build(name, (50,), outputs)
    dense = torch.randn(8, 50) * (torch.rand(8, 50) < 0.1)
    dense[3] = 0  # a sample without any feature
    weights = torch.randn(8, outputs)
    results = []
    for batch in (dense, dense.to_sparse_csr()):
        model.zero_grad()
        out = model(batch)
        (out * weights).sum().backward()
        results.append([out.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(results[1]) == 1 + len(list(model.parameters()))
    for of_dense, of_sparse in zip(*results, strict=True):
        torch.testing.assert_close(of_sparse, of_dense)


@BETA
def test_a_sparse_batch_is_never_made_dense() -> None:
    rows, features = 100_000, 10_000_000  # 4 TB of float32
    crow = torch.arange(rows + 1)
    batch = torch.sparse_csr_tensor(crow, crow[:-1], torch.ones(rows), (rows, features))
    model = build("linear", (features,), 1)
    model(batch).sum().backward()
    grad = next(model.parameters()).grad
    assert grad is not None and grad.sum() == rows


# --- timm -----------------------------------------------------------------------------------------------


def test_a_transformer_is_built_for_the_size_of_the_data() -> None:
    model = build("timm/test_vit", (1, 32, 48))
    assert model(torch.randn(2, 1, 32, 48)).shape == (2, 5)


def test_model_kwargs_reach_timm() -> None:
    model = build("timm/test_vit", (1, 8, 8), model_kwargs={"patch_size": 4})
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("timm/resnet81", (3, 32, 32), {}, "no model 'resnet81'; did you mean .*resnet18"),
        ("timm/resnet18.nonsense", (3, 32, 32), {}, "nonsense"),
        ("timm/resnet18", (64,), {}, "model_input_shape.*views flat data as an image"),
        ("timm/test_vit", (1, 9, 13), {}, r"cannot use 'test_vit' for inputs of shape \(1, 9, 13\).*divisible"),
        ("timm/test_convnext", (1, 8, 8), {}, "cannot use 'test_convnext' for inputs.*greater than actual input size"),
        ("timm/resnet10t", (1, 8, 8), {"model_kwargs": {"no_such_argument": 1}}, "no_such_argument"),
        ("timm/resnet10t", (1, 8, 8), {"model_kwargs": {"num_classes": 3}}, "num_classes"),
    ],
)
def test_timm_refusals_are_one_clear_sentence(
    name: str, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, shape, **options)


def test_weights_that_cannot_be_fetched_are_named_with_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"could not be fetched.*timm/resnet10t.*pretrained_cfg_overlay"):
        build("timm/resnet10t", (3, 32, 32), model_pretrained=True, model_kwargs={"cache_dir": str(tmp_path)})


def test_a_weights_file_takes_the_place_of_the_download(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = build("timm/test_efficientnet", (3, 32, 32), 1000)
    file = tmp_path / "weights.pt"
    overlay = {"model_kwargs": {"pretrained_cfg_overlay": {"file": str(file)}}, "model_pretrained": True}
    with pytest.raises(ValueError, match=r"could not be fetched.*weights\.pt"):
        build("timm/test_efficientnet", (3, 32, 32), 5, **overlay)
    torch.save(source.state_dict(), file)
    model = build("timm/test_efficientnet", (3, 32, 32), 5, **overlay)
    assert torch.equal(model.conv_stem.weight, source.conv_stem.weight)  # type: ignore[arg-type]


# --- python ---------------------------------------------------------------------------------------------


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module of the user's where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_a_users_model_gets_classes_shape_and_model_kwargs(user_module: Callable[[str, str], None]) -> None:
    user_module(
        "my_good_models",
        "from torch import nn\n"
        "def net(num_classes, input_shape, hidden):\n"
        "    return nn.Sequential(nn.Linear(input_shape[0], hidden), nn.Linear(hidden, num_classes))\n",
    )
    model = build("python/my_good_models:net", (6,), 4, model_kwargs={"hidden": 9})
    assert [tuple(p.shape) for p in model.parameters()] == [(9, 6), (9,), (4, 9), (4,)]


def test_a_users_model_is_not_given_what_it_does_not_take(user_module: Callable[[str, str], None]) -> None:
    user_module(
        "my_frugal_models",
        "from torch import nn\n"
        "def fixed(hidden=3):\n    return nn.Linear(6, hidden)\n"
        "def narrow(num_classes):\n    return nn.Linear(6, num_classes)\n"
        "def open(**kwargs):\n    return nn.Linear(kwargs['input_shape'][0], kwargs['num_classes'])\n",
    )
    for name in ("fixed", "narrow", "open"):
        kwargs = {"hidden": 4} if name == "fixed" else {}
        (weight, _) = build(f"python/my_frugal_models:{name}", (6,), 4, model_kwargs=kwargs).parameters()
        assert weight.shape == (4, 6)


def test_mistakes_in_naming_a_users_model_are_told_apart(user_module: Callable[[str, str], None]) -> None:
    user_module(
        "my_bad_models",
        "import math\nlimit = 3\ndef text(num_classes, input_shape):\n    return 'no module'\n"
        "def other(outputs):\n    pass\n",
    )
    user_module("my_broken_models", "import there_is_no_such_package\n")
    for name, message in [
        ("there_is_no_such_module:net", "no module 'there_is_no_such_module'"),
        ("my_bad_models.inner:net", "importing 'my_bad_models.inner' failed|no module 'my_bad_models.inner'"),
        ("my_broken_models:net", "importing 'my_broken_models' failed: .*there_is_no_such_package"),
        ("my_bad_models:nett", r"'nett' does not exist in .*my_bad_models\.py"),
        ("my_bad_models:limit", "'limit' is not callable"),
        ("my_bad_models:text", r"returned str, not a torch\.nn\.Module"),
        ("my_bad_models:other", r"called as other\(\): missing a required argument: 'outputs'"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(f"python/{name}", (6,), 4)
    with pytest.raises(ValueError, match="'num_classes' comes from the data"):
        build("python/my_bad_models:text", (6,), 4, model_kwargs={"num_classes": 3})


# --- the last layer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "linear/no_bias", *TINY, "timm/test_vit", "timm/resnet10t"])
def test_a_zero_head_makes_every_output_zero_and_still_learns(name: str) -> None:
    model = build(name, (3, 32, 32), model_head_init="zero")
    outputs = model(torch.randn(2, 3, 32, 32))
    assert outputs.shape == (2, 5) and not outputs.any()
    outputs.sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_a_rand_head_is_drawn_as_torch_does_and_leaves_the_rest_alone() -> None:
    models = {}
    for init in (None, "rand"):
        torch.manual_seed(0)
        models[init] = build("timm/test_vit", (3, 32, 32), model_head_init=init)
    torch.testing.assert_close(models[None].patch_embed.state_dict(), models["rand"].patch_embed.state_dict())  # type: ignore[union-attr, operator]
    weight = models["rand"].head.weight  # type: ignore[union-attr]
    bound = 1 / math.sqrt(weight.shape[1])
    assert 0.8 * bound < weight.abs().max() <= bound


def test_both_heads_of_a_distilled_transformer_are_reset() -> None:
    model = build(
        "timm/deit_tiny_distilled_patch16_224", (3, 32, 32), model_head_init="zero", model_kwargs={"depth": 1}
    )
    assert not model.train()(torch.randn(2, 3, 32, 32))[0].any()
    assert not model.eval()(torch.randn(2, 3, 32, 32)).any()


def test_a_model_without_a_layer_to_reset_is_refused(user_module: Callable[[str, str], None]) -> None:
    user_module(
        "my_headless_models",
        "from torch import nn\ndef net(num_classes, input_shape):\n    return nn.BatchNorm1d(6)\n",
    )
    with pytest.raises(ValueError, match="no linear or convolutional layer"):
        build("python/my_headless_models:net", (6,), 4, model_head_init="zero")
