"""`hf/<name or folder>`: transformers' classifiers of texts or images.

The name is one of the hub's (`hf/google-bert/bert-base-uncased`, `hf/google/vit-base-patch16-224`) or a folder
with a config.json. Whether it reads texts or images follows from its type. No code that comes with a model is run.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from src import hub, torchvision_cpu
from src.config import Config
from src.data.source import IMAGENET_MEAN, IMAGENET_STD, Inputs
from src.optional import require

_INTERPOLATIONS = {0: "nearest", 2: "bilinear"}  # PIL's numbers; the rest are done as bicubic
T = TypeVar("T")


def inputs(name: str, config: Config) -> Inputs:
    """The tokenizer, or the size and normalisation of images, that belong to the model.

    Raises ValueError if they cannot be had, and if `text_max_tokens` is more than the model takes.
    """
    with _quiet(name):
        network_config = _read_config(name, config)
        if _kind(name, network_config) == "text":
            return Inputs(tokenizer=_read_tokenizer(name, network_config, config))
        return _image_inputs(name, network_config, config)


def build(
    name: str,
    input_shape: tuple[int, ...],
    output_dim: int,
    config: Config,
    class_names: list[str] | None = None,
) -> nn.Module:
    """With `model_pretrained` the weights of `name`, with a new last layer unless its own has `output_dim` outputs;
    without, an untrained model of the same architecture. `model_kwargs` are fields of the model's config.json.

    Raises ValueError for a name that cannot be had, or a model that does not fit the images.
    """
    with _quiet(name):
        import transformers

        network_config = _read_config(name, config)
        kind = _kind(name, network_config)
        if kind == "image":
            _fit_images(name, network_config, input_shape, config)
        text_config = network_config.get_text_config()
        if kind == "text" and text_config.pad_token_id is None:
            text_config.pad_token_id = _read_tokenizer(name, network_config, config).pad_token_id
        network_config.num_labels = output_dim
        auto = getattr(transformers, f"AutoModelFor{'Sequence' if kind == 'text' else 'Image'}Classification")
        if config.model_pretrained:
            network = _read_weights(name, auto, network_config)
        else:
            network = auto.from_config(network_config, dtype=torch.float32, trust_remote_code=False)
        model = Classifier(network, output_dim)
        if kind == "image":
            try:
                with torch.no_grad():
                    model.eval()(torch.zeros(1, *input_shape))  # many a misfit shows only here
            except Exception as error:  # transformers says "does not fit" by value, type and runtime errors alike
                raise ValueError(
                    f"model 'hf/{name}' does not take images of shape {input_shape}: {_first_line(error)}"
                ) from error
    return model.train()


class Classifier(nn.Module):
    """A classifier of transformers (`network`) that returns its logits (n, output_dim).

    It takes images (n, channels, height, width), or what the tokenizer makes of n texts: a dictionary of
    int64 tensors (n, n_tokens).
    """

    def __init__(self, network: Any, output_dim: int) -> None:
        super().__init__()
        self.network, self.output_dim = network, output_dim

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        return self.network(**(x if isinstance(x, Mapping) else {self.network.main_input_name: x})).logits

    def get_classifier(self) -> nn.Module:
        """All that comes after the pretrained body; as a ModuleList if the logits are an average of several heads."""
        body = self.network.base_model
        parts = [part for part in self.network.children() if part is not body and any(True for _ in part.parameters())]
        if body is self.network:  # the model does not name its body
            parts = parts[-1:]
        heads = [part for part in parts if _out_features(part) == self.output_dim]
        return nn.ModuleList(heads) if len(heads) > 1 else nn.Sequential(*parts)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters make a layer, as timm's layer decay asks: the blocks of the largest list of blocks, what
        comes before them, and what comes after them."""
        lists = [(name, m) for name, m in self.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
        if not lists:
            return {"stem": "^$", "blocks": "^$"}
        blocks = max(lists, key=lambda named: sum(p.numel() for p in named[1].parameters()))[0]
        names = [name for name, _ in self.named_parameters()]
        first = next(i for i, name in enumerate(names) if name.startswith(f"{blocks}."))
        stem = "|".join(re.escape(name) for name in names[:first])
        return {"stem": f"^(?:{stem})$", "blocks": rf"^{re.escape(blocks)}\.(\d+)"}


def _out_features(module: nn.Module) -> int | None:
    widths = [layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear)]
    return widths[-1] if widths else None


# --- what is read -------------------------------------------------------------------------------------


def _fetch(name: str, what: str, read: Callable[[], T]) -> T:
    """`read()` from the folder, or else from the hub's cache, or else from the hub. Raises ValueError."""
    try:
        with hub.cache_only():
            return read()
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise ValueError(
                f"the {what} of 'hf/{name}' cannot be read from that folder: {_first_line(error)}"
            ) from error
    try:
        with hub.without_waiting():
            return read()
    except (OSError, ValueError) as error:
        from huggingface_hub import constants

        raise ValueError(
            f"the {what} of 'hf/{name}' could not be had: there is no such folder, and transformers looked in the cache "
            f"{hub.cache()} and at {constants.ENDPOINT}/{name} ({_first_line(error)}); copy the cache from a machine with "
            "network (the variable HF_HOME moves it), or put the model's files in a folder and name that: hf/<folder>"
        ) from error


def _read_config(name: str, config: Config) -> Any:
    """The model's config.json, with `model_kwargs` in place of its own values."""
    from transformers import AutoConfig

    own = _fetch(name, "config.json", lambda: AutoConfig.from_pretrained(name, trust_remote_code=False))
    for key in config.model_kwargs:
        if not hasattr(own, key):
            close = difflib.get_close_matches(key, own.to_dict(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(own.to_dict())}"
            raise ValueError(f"model_kwargs: the configuration of 'hf/{name}' has no field {key!r}; {hint}")
    if not config.model_kwargs:
        return own
    return _fetch(
        name, "config.json", lambda: AutoConfig.from_pretrained(name, trust_remote_code=False, **config.model_kwargs)
    )


def _kind(name: str, network_config: Any) -> str:
    """'text' or 'image'."""
    import transformers

    text = type(network_config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    image = type(network_config) in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    if not text and not image:
        raise ValueError(
            f"model 'hf/{name}' is of type {network_config.model_type!r}, of which transformers has no classifier of "
            "texts or images"
        )
    if text and image:
        return "image" if "ImageClassification" in " ".join(network_config.architectures or []) else "text"
    return "text" if text else "image"


def _read_tokenizer(name: str, network_config: Any, config: Config) -> Any:
    from transformers import AutoTokenizer

    def read() -> Any:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if len(tokenizer) <= len(
            tokenizer.all_special_tokens
        ):  # it makes one without words where its files are missing
            raise OSError("it has no tokenizer files")
        return tokenizer

    tokenizer = _fetch(name, "tokenizer", read)
    text_config = network_config.get_text_config()
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"the tokenizer of 'hf/{name}' has no padding token, which batches of texts need")
        tokenizer.pad_token = tokenizer.eos_token  # the custom with models that were trained without padding
    if len(tokenizer) > text_config.vocab_size:
        raise ValueError(
            f"the tokenizer of 'hf/{name}' has {len(tokenizer)} tokens, and the model knows {text_config.vocab_size}"
        )
    positions = getattr(text_config, "max_position_embeddings", None)
    if positions is not None and "roberta" in network_config.model_type:
        positions -= text_config.pad_token_id + 1  # its positions begin after that of the padding
    if positions is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
        if (config.text_max_tokens or 0) > positions:
            raise ValueError(f"text_max_tokens {config.text_max_tokens}: 'hf/{name}' takes at most {positions}")
    return tokenizer


def _image_inputs(name: str, network_config: Any, config: Config) -> Inputs:
    from transformers import AutoImageProcessor

    channels = getattr(network_config, "num_channels", 3) if config.model_pretrained else None
    own_size = getattr(network_config, "image_size", None)
    size = (own_size, own_size) if isinstance(own_size, int) else own_size and tuple(own_size)
    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").is_file():
        return Inputs(size=size, channels=channels)
    processor = _fetch(
        name, "preprocessor_config.json", lambda: AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    )
    if config.model_pretrained and getattr(processor, "do_flip_channel_order", False):
        raise ValueError(f"model 'hf/{name}' was trained on images whose colours are in the order blue, green, red")
    resized = _height_width(processor.size)
    crop = _height_width(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    crop_pct = getattr(processor, "crop_pct", None) or 1.0
    if crop and resized:
        crop_pct = min(1.0, crop[0] / resized[0])
    # transformers normalises pixel * rescale_factor, and here it is pixel / 255
    scale = 255 * processor.rescale_factor if processor.do_rescale else 255
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    return Inputs(
        size=size if "image_size" in config.model_kwargs else crop or resized or size,
        mean=tuple(value / scale for value in mean or IMAGENET_MEAN),
        std=tuple(value / scale for value in std or IMAGENET_STD),
        interpolation=_INTERPOLATIONS.get(int(processor.resample), "bicubic"),
        crop_pct=crop_pct,
        channels=channels,
    )


def _height_width(size: Mapping[str, int] | None) -> tuple[int, int] | None:
    """Of an image processor's `size` or `crop_size`: height and width, or one for both."""
    if not size:
        return None
    sizes = dict(size)
    edge = sizes.get("shortest_edge")
    return (edge, edge) if edge else (sizes["height"], sizes["width"])


# --- how it is built ----------------------------------------------------------------------------------


def _fit_images(name: str, network_config: Any, input_shape: tuple[int, ...], config: Config) -> None:
    """An untrained model is made for the images there are; pretrained weights have their own size."""
    if len(input_shape) != 3:
        raise ValueError(
            f"model 'hf/{name}' takes images (channels, height, width), and the samples have shape {input_shape}"
        )
    channels, height, width = input_shape
    if config.model_pretrained:
        return
    if hasattr(network_config, "num_channels"):
        network_config.num_channels = channels
    if hasattr(network_config, "image_size") and "image_size" not in config.model_kwargs:
        network_config.image_size = height if height == width else [height, width]


def _read_weights(name: str, auto: Any, network_config: Any) -> Any:
    """The pretrained model in float32. Only the last layer may have another shape than in the file."""
    network, loaded = _fetch(
        name,
        "weights",
        lambda: auto.from_pretrained(
            name,
            config=network_config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
        ),
    )
    body = {id(parameter) for parameter in network.base_model.parameters()}
    parameters = dict(network.named_parameters())
    for key, in_file, in_model in sorted(loaded["mismatched_keys"]):
        if network.base_model is not network and id(parameters.get(key)) in body:
            raise ValueError(
                f"the weights of 'hf/{name}' do not fit model_kwargs: {key} has shape {tuple(in_file)} in the file and "
                f"{tuple(in_model)} in the model"
            )
    return network


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """For what calls transformers: it shows only errors, and progress only of downloads."""
    torchvision_cpu.mend()
    require("transformers", "transformers", f"model 'hf/{name}'")
    from transformers.utils import logging as its_logging

    logger, shows_progress = logging.getLogger("transformers"), its_logging._tqdm_active
    level = logger.level
    logger.setLevel(logging.ERROR)
    its_logging._tqdm_active = False  # disable_progress_bar() would hide the downloads of huggingface_hub too
    try:
        yield
    finally:
        logger.setLevel(level)
        its_logging._tqdm_active = shows_progress
