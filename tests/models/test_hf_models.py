"""hf/ models: small transformers made on the spot and saved as real ones are, through the real library, without a network."""

from __future__ import annotations

import copy
import itertools
import json
import shutil

import pytest
import torch
from data.made_hf import make_bert, make_images, make_texts, make_vit
from helpers import stats_without_clock

from src import config as configs
from src.models import hf
from src.models.freeze import freeze
from src.models.head import find_heads, reset_head
from src.optim.optimizers import build_optimizer
from train import experiment_generator


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp("models") / "bert", weights=True)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return make_vit(tmp_path_factory.mktemp("models") / "vit", weights=True)


def config_of(name, **options):
    return configs.build({"model": f"hf/{name}"} | options)


def build(name, output_dim, input_shape=(), seed=0, **options):
    torch.manual_seed(seed)
    return hf.build(str(name), input_shape, output_dim, config_of(name, **options))


def inputs(name, **options):
    return hf.inputs(str(name), config_of(name, **options))


def logits(model, x):
    with torch.no_grad():
        return model.eval()(x)


def batch(tokenizer, *texts):
    return tokenizer.pad([tokenizer(text) for text in texts], return_tensors="pt")


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


# --- what goes in and out -----------------------------------------------------------------------------


def test_a_text_model_gives_the_same_logits_however_its_batch_is_padded(bert):
    model, tokenizer = build(bert, 2, model_pretrained=True), inputs(bert).tokenizer
    together = logits(model, batch(tokenizer, "the film was good", "a very very dull and poor story"))

    assert together.shape == (2, 2)
    alone = [
        logits(model, batch(tokenizer, "the film was good")),
        logits(model, dict(tokenizer("the film was good", return_tensors="pt"))),
    ]
    for each in alone:
        torch.testing.assert_close(each, together[:1])


@pytest.mark.parametrize("has_padding", [True, False])
def test_a_model_that_names_no_padding_is_padded_as_its_tokenizer_does_or_with_the_end_of_text(
    tmp_path, bert, has_padding
):
    from transformers import GPT2Config

    shutil.copytree(bert, tmp_path / "gpt")
    special = {"eos_token": "[SEP]"} | ({"pad_token": "[PAD]"} if has_padding else {})
    own = {"tokenizer_class": "PreTrainedTokenizerFast"} | special
    (tmp_path / "gpt" / "tokenizer_config.json").write_text(json.dumps(own))
    narrow = {"vocab_size": 23, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    GPT2Config(eos_token_id=3, bos_token_id=2, **narrow).save_pretrained(tmp_path / "gpt")
    model, tokenizer = build(tmp_path / "gpt", 3), inputs(tmp_path / "gpt").tokenizer

    assert tokenizer.pad_token == ("[PAD]" if has_padding else "[SEP]")
    together = logits(model, batch(tokenizer, "the film was good", "a very very dull and poor story"))
    torch.testing.assert_close(logits(model, batch(tokenizer, "the film was good")), together[:1])


def test_an_image_model_takes_images_as_the_data_have_them(vit):
    assert logits(build(vit, 3, (3, 16, 16), model_pretrained=True), IMAGES).shape == (4, 3)
    grey = build(vit, 7, (1, 24, 24))
    assert logits(grey, torch.zeros(2, 1, 24, 24)).shape == (2, 7)


def test_inputs_are_those_of_the_image_processor(vit):
    own = inputs(vit, model_pretrained=True)
    assert (own.size, own.interpolation, own.crop_pct, own.channels) == ((16, 16), "bilinear", 1.0, 3)
    assert own.mean == pytest.approx((0.5, 0.4, 0.3))
    assert own.std == pytest.approx((0.2, 0.25, 0.5))
    assert inputs(vit).channels is None  # an untrained model is made for the channels that there are


@pytest.mark.parametrize(
    ("changes", "size", "crop_pct", "mean"),
    [
        (
            {"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": {"height": 16, "width": 16}},
            16,
            0.8,
            0.5,
        ),
        ({"size": {"shortest_edge": 16}, "crop_pct": 0.875}, 16, 0.875, 0.5),
        ({"do_normalize": False}, 16, 1.0, 0.0),
        ({"rescale_factor": 1.0}, 16, 1.0, 0.5 / 255),
    ],
)
def test_other_image_processors_are_understood(vit, tmp_path, changes, size, crop_pct, mean):
    shutil.copytree(vit, tmp_path / "vit")
    file = tmp_path / "vit" / "preprocessor_config.json"
    kind = {"image_processor_type": "ConvNextImageProcessor"} if "crop_pct" in changes else {}
    kind = {"image_processor_type": "DeiTImageProcessor"} if "crop_size" in changes else kind
    file.write_text(json.dumps(json.loads(file.read_text()) | changes | kind))

    own = inputs(tmp_path / "vit", model_pretrained=True)
    assert own.size == (size, size)
    assert own.crop_pct == pytest.approx(crop_pct)
    assert own.mean[0] == pytest.approx(mean)


def test_without_an_image_processor_the_size_is_the_models(vit, tmp_path):
    shutil.copytree(vit, tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").unlink()
    assert inputs(tmp_path / "vit").size == (16, 16)


# --- weights ------------------------------------------------------------------------------------------


def test_pretrained_weights_are_those_in_the_folder(bert):
    from safetensors.torch import load_file

    held = {
        name.removeprefix("network."): value
        for name, value in build(bert, 2, model_pretrained=True).state_dict().items()
    }
    stored = load_file(bert / "model.safetensors")
    assert stored.keys() == held.keys()
    assert all(torch.equal(stored[name], held[name]) for name in stored)


def test_only_a_head_with_another_number_of_outputs_is_drawn_anew(bert):
    two, five = (build(bert, n, model_pretrained=True).state_dict() for n in (2, 5))
    other = build(bert, 5, model_pretrained=True, seed=1).state_dict()

    differ = {name for name in two if not torch.equal(two[name], five[name])}
    assert differ == {"network.classifier.weight", "network.classifier.bias"}
    assert {name for name in five if not torch.equal(five[name], other[name])} == {"network.classifier.weight"}


@pytest.mark.parametrize(("kind", "shape"), [("bert", ()), ("vit", (3, 16, 16))])
@pytest.mark.parametrize("pretrained", [False, True])
def test_initial_weights_are_a_function_of_the_seed(request, kind, shape, pretrained):
    name = request.getfixturevalue(kind)
    first, again, other = (
        build(name, 4, shape, seed=seed, model_pretrained=pretrained).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_an_untrained_model_does_not_need_weights(tmp_path):
    model = build(make_bert(tmp_path / "bare"), 3)
    assert model.training
    assert logits(model, batch(inputs(tmp_path / "bare").tokenizer, "a film")).shape == (1, 3)
    with pytest.raises(
        ValueError, match=r"the weights of 'hf/.*bare' cannot be read from that folder: .*model.safetensors"
    ):
        build(tmp_path / "bare", 3, model_pretrained=True)


def test_weights_in_half_precision_are_trained_in_single_precision(bert, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert, tmp_path / "half")
    stored = load_file(bert / "model.safetensors")
    save_file({name: value.half() for name, value in stored.items()}, tmp_path / "half" / "model.safetensors")
    own = json.loads((bert / "config.json").read_text()) | {"dtype": "float16"}
    (tmp_path / "half" / "config.json").write_text(json.dumps(own))

    for pretrained in (True, False):
        model = build(tmp_path / "half", 2, model_pretrained=pretrained)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# --- model_kwargs -------------------------------------------------------------------------------------


def test_model_kwargs_are_fields_of_the_models_configuration(bert):
    model = build(bert, 2, model_kwargs={"num_hidden_layers": 3, "hidden_dropout_prob": 0.5})
    assert len(model.network.bert.encoder.layer) == 3
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} >= {0.5}


def test_an_unknown_model_kwarg_is_refused_with_the_nearest_field(bert):
    with pytest.raises(ValueError, match="no field 'num_hidden_layer'; did you mean 'num_hidden_layers'"):
        build(bert, 2, model_kwargs={"num_hidden_layer": 3})


def test_weights_that_do_not_fit_model_kwargs_are_refused(bert):
    with pytest.raises(ValueError, match=r"the weights of 'hf/.*' do not fit model_kwargs: .*\(64,.* \(48,"):
        build(bert, 2, model_pretrained=True, model_kwargs={"intermediate_size": 48})


# --- heads --------------------------------------------------------------------------------------------


def make_other(folder, bert, kind, **fields):
    """A model of another type, without weights, with the tokenizer of `bert`."""
    import transformers

    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"})
    )
    getattr(transformers, kind)(vocab_size=23, **fields).save_pretrained(folder)
    return folder


NARROW = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.mark.parametrize(
    ("kind", "fields", "head"),
    [
        (
            "DistilBertConfig",
            {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
            {"pre_classifier", "classifier"},
        ),
        ("RobertaConfig", NARROW | {"pad_token_id": 0}, {"classifier"}),
    ],
)
def test_the_head_is_all_that_comes_after_the_body_and_its_last_layer_is_reset(bert, tmp_path, kind, fields, head):
    model = build(make_other(tmp_path / "other", bert, kind, **fields), 3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [names[id(parameter)] for part in find_heads(model) for parameter in part.parameters()]
    assert {name.split(".")[1] for name in found} == head
    assert len(found) == 4  # two layers, weight and bias

    reset_head(model, "zero")
    values = dict(model.named_parameters())
    assert [bool(values[name].any()) for name in found if name.endswith("weight")] == [True, False]
    x = torch.tensor([[2, 7, 3]])
    assert not logits(model, {"input_ids": x, "attention_mask": torch.ones_like(x)}).any()


def test_both_heads_of_a_distilled_model_are_found(vit, tmp_path):
    from transformers import DeiTConfig

    shutil.copytree(vit, tmp_path / "deit")
    architecture = ["DeiTForImageClassificationWithTeacher"]
    DeiTConfig(image_size=16, patch_size=4, architectures=architecture, **NARROW).save_pretrained(tmp_path / "deit")
    model = build(tmp_path / "deit", 5, (3, 16, 16))

    reset_head(model, "zero")
    assert len(find_heads(model)) == 2
    assert not logits(model, IMAGES).any()


def test_linear_probing_trains_all_of_the_head_and_nothing_else(bert, tmp_path):
    name = make_other(tmp_path / "distil", bert, "DistilBertConfig", dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    model = build(name, 3)
    freeze(model, "backbone")
    trained = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"pre_classifier", "classifier"}


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_layer_decay_takes_embeddings_blocks_and_head_as_layers(request, kind):
    name = request.getfixturevalue(kind)
    model = build(name, 2, () if kind == "bert" else (3, 16, 16))
    groups = build_optimizer(config_of(name, layer_decay=0.5), model).param_groups
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    found = {key: scales[id(parameter)] for key, parameter in model.named_parameters()}

    def scale(part):
        (one,) = {value for key, value in found.items() if part in key}
        return one

    layers = "encoder.layer." if kind == "bert" else "layers."
    assert [scale(part) for part in ("embeddings", f"{layers}0.", f"{layers}1.", "classifier")] == [
        0.125,
        0.25,
        0.5,
        1.0,
    ]


def scales_of(name, model):
    """The factor of the learning rate of each parameter, for layer_decay 0.5."""
    groups = build_optimizer(config_of(name, layer_decay=0.5), model).param_groups
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    return {key: scales[id(parameter)] for key, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", ["XLMRobertaConfig", "CamembertConfig", "RobertaConfig"])
def test_the_head_is_the_last_layer_wherever_it_is_registered(bert, tmp_path, kind):
    folder = make_other(
        tmp_path / kind, bert, kind, max_position_embeddings=34, pad_token_id=1, **NARROW | {"num_hidden_layers": 2}
    )
    for key, scale in scales_of(folder, build(folder, 2)).items():
        expected = 1.0 if "classifier" in key else 0.25 if "layer.0" in key else 0.5 if "layer.1" in key else 0.125
        assert scale == expected, key


def test_the_layers_of_an_encoder_decoder_are_the_encoders_and_then_the_decoders(bert, tmp_path):
    both = {"d_model": 8, "pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 2}
    bart = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    narrow = {"encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "max_position_embeddings": 32}
    t5 = {"num_layers": 2, "num_decoder_layers": 1, "num_heads": 2, "d_kv": 4, "d_ff": 8}
    for kind, fields in [("BartConfig", bart | narrow), ("T5Config", t5)]:
        folder = make_other(tmp_path / kind, bert, kind, **both, **fields)
        for key, scale in scales_of(folder, build(folder, 2)).items():
            layer = 0  # embeddings
            for part, number in [
                ("encoder.layers.0", 1), ("encoder.block.0", 1), ("encoder.layers.1", 2), ("encoder.block.1", 2),
                ("encoder.final_layer_norm", 2), ("decoder.layers.0", 3), ("decoder.block.0", 3),
                ("decoder.final_layer_norm", 4), ("classification_head", 4),
            ]:  # fmt: skip
                layer = number if part in key else layer
            assert scale == 0.5 ** (4 - layer), key


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 64, 64)])
def test_untrained_hiera_and_deit_take_images_of_any_size(tmp_path, shape):
    from transformers import DeiTConfig, HieraConfig

    hiera = {"image_size": [32, 32], "patch_size": [4, 4], "patch_stride": [4, 4], "patch_padding": [0, 0]}
    blocks = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "masked_unit_size": [2, 2], "query_stride": [2, 2]}
    HieraConfig(**hiera, **blocks, num_query_pool=1).save_pretrained(tmp_path / "hiera")
    narrow = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    DeiTConfig(**narrow, image_size=32, patch_size=4).save_pretrained(tmp_path / "deit")
    for name in ("hiera", "deit"):
        assert logits(build(tmp_path / name, 5, shape), torch.zeros(2, *shape)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"model 'hf/.*hiera' does not take images of shape \(3, 4, 4\)"):
        build(tmp_path / "hiera", 5, (3, 4, 4))


def test_a_copy_is_a_model_of_its_own(vit):
    model = build(vit, 3, (3, 16, 16))
    copied = copy.deepcopy(model)
    torch.nn.init.zeros_(copied.get_classifier()[0].weight)
    assert logits(model, IMAGES).std() > 0
    assert not logits(copied, IMAGES).std(0).any()


# --- what does not fit --------------------------------------------------------------------------------


def test_more_tokens_than_the_model_takes_are_refused(bert):
    assert inputs(bert, text_max_tokens=32).tokenizer.model_max_length == 32
    with pytest.raises(ValueError, match=r"text_max_tokens 33: 'hf/.*' takes at most 32"):
        inputs(bert, text_max_tokens=33)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("RobertaConfig", {}),
        ("CamembertConfig", {}),
        ("MPNetConfig", {}),
        ("LongformerConfig", {"attention_window": 4, "sep_token_id": 2}),
        ("EsmConfig", {"mask_token_id": 3}),
    ],
)
def test_positions_that_begin_after_the_padding_are_not_counted(bert, tmp_path, kind, fields):
    fields = fields | {"max_position_embeddings": 10, "pad_token_id": 1} | NARROW
    folder = make_other(tmp_path / "kin", bert, kind, **fields)
    assert inputs(folder).tokenizer.model_max_length == 8

    x = torch.full((1, 8), 7)
    assert logits(build(folder, 2), {"input_ids": x, "attention_mask": torch.ones_like(x)}).shape == (1, 2)


def test_a_model_without_a_limit_on_positions_sets_none(bert, tmp_path):
    fields = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16, "pad_token_id": 1}
    assert inputs(make_other(tmp_path / "xlnet", bert, "XLNetConfig", **fields)).tokenizer.model_max_length > 1e9


def test_a_folder_without_tokenizer_files_is_refused(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "wordless", ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(ValueError, match=r"the tokenizer of 'hf/.*wordless' cannot be read from that folder"):
        inputs(tmp_path / "wordless")


def test_a_tokenizer_with_more_words_than_the_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the tokenizer of .* has 23 tokens, and the model only 20"):
        inputs(make_bert(tmp_path / "small", vocab_size=20))


@pytest.mark.parametrize(("shape", "pretrained"), [((3, 32, 32), True), ((3, 2, 2), False), ((64,), False)])
def test_images_that_the_model_cannot_take_are_refused(vit, shape, pretrained):
    with pytest.raises(ValueError, match=r"model 'hf/.*' (does not take images of shape|takes images)"):
        build(vit, 3, shape, model_pretrained=pretrained)


def test_a_model_that_classifies_neither_texts_nor_images_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vits"}))
    with pytest.raises(ValueError, match="of type 'vits', for which transformers has no classifier"):
        inputs(tmp_path)


def test_code_that_comes_with_a_model_is_not_run(tmp_path, capfd):
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Net"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'it_ran')!r}, 'w')\nclass Own: pass\nclass Net: pass\n")
    with pytest.raises(ValueError, match=r"the config.json of 'hf/.*' cannot be read from that folder"):
        inputs(tmp_path)
    assert not (tmp_path / "it_ran").exists()


def test_a_name_that_cannot_be_had_is_said_to_be_missing_where_and_how_to_bring_it(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ValueError) as raised:
        inputs("user/bert")
    for part in ("'hf/user/bert'", str(tmp_path / "hub"), f"{constants.ENDPOINT}/user/bert", "HF_HOME", "hf/<folder>"):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_downloaded_model_is_read_from_the_cache(bert, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--user--bert"
    shutil.copytree(bert, kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)

    assert len(inputs("user/bert").tokenizer) == 23
    assert build("user/bert", 2, model_pretrained=True).get_classifier()[0].out_features == 2


def test_building_prints_nothing(bert, vit, capfd):
    build(bert, 5, model_pretrained=True)
    build(vit, 5, (3, 16, 16), model_pretrained=True)
    inputs(bert), inputs(vit)
    assert capfd.readouterr() == ("", "")


# --- whole runs ---------------------------------------------------------------------------------------


def run(folder, epochs=None, **options):
    """Trains in `folder`, for some epochs or to the end, with data kept there too; the table of figures."""
    common = {
        "output_dir": str(folder),
        "data_dir": str(folder / "data"),
        "optim_alg": "adamw",
        "seed_model": 0,
        "seed_training": 0,
    }
    generator = experiment_generator(configs.build(common | options))
    tables = [table for table, _ in itertools.islice(generator, epochs)]
    generator.close()
    return tables[-1]


def test_a_text_model_learns_and_a_run_resumed_within_a_pass_ends_with_the_same_bytes(tmp_path):
    options = {
        "dataset": f"hf/{make_texts(tmp_path / 'films')}",
        "model": f"hf/{make_bert(tmp_path / 'bert')}",
        "batch_size": 16,
        "grad_accum_steps": 2,
        "steps_per_epoch": 20,  # a pass is 13 steps
        "train_length": 60,
        "train_length_unit": "step",
        "base_lr": 3e-3,
    }
    table = run(tmp_path / "whole", **options)
    run(tmp_path / "parts", epochs=1, **options)
    run(tmp_path / "parts", **options)

    assert table["test/last/accuracy"].iloc[-1] > 0.9
    assert stats_without_clock(tmp_path / "whole") == stats_without_clock(tmp_path / "parts")


def test_an_image_model_learns_colours_from_images_of_a_folder(tmp_path):
    table = run(
        tmp_path / "run",
        dataset=f"hf/{make_images(tmp_path / 'colours')}",
        model=f"hf/{make_vit(tmp_path / 'vit')}",
        batch_size=20,
        train_length=10,
        base_lr=1e-3,
    )
    assert table["test/last/accuracy"].iloc[-1] > 0.8


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        ("texts", "vit", "is text, and model .* does not read text"),
        ("images", "bert", "is not text, and model .* reads text"),
    ],
)
def test_models_of_texts_and_of_images_want_their_own_data(request, tmp_path, data, model, message):
    folder = {"texts": make_texts, "images": make_images}[data](tmp_path / data)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", dataset=f"hf/{folder}", model=f"hf/{request.getfixturevalue(model)}")
