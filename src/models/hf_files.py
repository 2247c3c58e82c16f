"""The files of transformers' models, from a folder or the hub: config.json, tokenizer, image processor, weights."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from src import hub
from src.config import Config
from src.data.source import IMAGENET_MEAN, IMAGENET_STD, Inputs
from src.hints import did_you_mean
from src.optional import require

_INTERPOLATIONS = {0: "nearest", 2: "bilinear"}  # PIL's numbers; all others become bicubic
T = TypeVar("T")


def read_config(name: str, config: Config) -> Any:
    """The model's config.json, with `model_kwargs` in place of its own values."""
    from transformers import AutoConfig

    own = _fetch(name, "config.json", lambda: AutoConfig.from_pretrained(name, trust_remote_code=False))
    for key in config.model_kwargs:
        if not hasattr(own, key):
            hint = did_you_mean(key, own.to_dict()) or f"; it has {', '.join(own.to_dict())}"
            raise ValueError(f"model_kwargs: the configuration of 'hf/{name}' has no field {key!r}{hint}")
    if not config.model_kwargs:
        return own
    return _fetch(
        name, "config.json", lambda: AutoConfig.from_pretrained(name, trust_remote_code=False, **config.model_kwargs)
    )


def read_tokenizer(name: str, network_config: Any, config: Config) -> Any:
    """The tokenizer, with a padding token and the model's limit on the number of tokens."""
    from transformers import AutoTokenizer

    def read() -> Any:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # transformers makes it so where files are missing
            raise OSError("it has no tokenizer files")
        return tokenizer

    tokenizer = _fetch(name, "tokenizer", read)
    text_config = network_config.get_text_config()
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"the tokenizer of 'hf/{name}' has no padding token, which batches of texts need")
        tokenizer.pad_token = tokenizer.eos_token  # the usual choice for models that were trained without padding
    if len(tokenizer) > text_config.vocab_size:
        raise ValueError(
            f"the tokenizer of 'hf/{name}' has {len(tokenizer)} tokens, and the model only {text_config.vocab_size}"
        )
    positions = getattr(text_config, "max_position_embeddings", None)
    if positions is not None and positions > 0:  # XLNet, which has no limit, states -1
        positions -= _first_position(network_config)
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
        if (config.text_max_tokens or 0) > positions:
            raise ValueError(f"text_max_tokens {config.text_max_tokens}: 'hf/{name}' takes at most {positions}")
    return tokenizer


def _first_position(network_config: Any) -> int:
    """The position of a text's first token: in RoBERTa and its kin, the one after that of the padding."""
    from transformers import AutoModelForSequenceClassification

    with torch.device("meta"):  # no memory, no random numbers
        network = AutoModelForSequenceClassification.from_config(network_config, trust_remote_code=False)
    tables = [module for name, module in network.named_modules() if name.endswith("position_embeddings")]
    paddings = [getattr(table, "padding_idx", None) for table in tables]
    return max((padding + 1 for padding in paddings if padding is not None), default=0)


def read_image_inputs(name: str, network_config: Any, config: Config) -> Inputs:
    """Size, resizing and normalisation of the model's image processor."""
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
        raise ValueError(f"model 'hf/{name}' was trained on images with channels in the order blue, green, red")
    resized = _height_width(processor.size)
    crop = _height_width(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    crop_pct = getattr(processor, "crop_pct", None) or 1.0
    if crop and resized:
        crop_pct = min(1.0, crop[0] / resized[0])
    # transformers normalises pixel * rescale_factor, this project pixel / 255
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
    """Height and width of an image processor's `size` or `crop_size`, which may give one length for both."""
    if not size:
        return None
    sizes = dict(size)
    edge = sizes.get("shortest_edge")
    return (edge, edge) if edge else (sizes["height"], sizes["width"])


def read_weights(name: str, auto: Any, network_config: Any) -> Any:
    """The pretrained model in float32. Only the last layer may have another shape than in the file."""
    network, info = _fetch(
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
    for key, in_file, in_model in sorted(info["mismatched_keys"]):
        if network.base_model is not network and id(parameters.get(key)) in body:
            raise ValueError(
                f"the weights of 'hf/{name}' do not fit model_kwargs: {key} has shape {tuple(in_file)} in the file and "
                f"{tuple(in_model)} in the model"
            )
    return network


def _fetch(name: str, what: str, read: Callable[[], T]) -> T:
    """`read()` from the folder, or else from the hub's cache, or else from the hub. Raises ValueError."""
    try:
        with hub.cache_only():
            return read()
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise ValueError(
                f"the {what} of 'hf/{name}' cannot be read from that folder: {first_line(error)}"
            ) from error
    try:
        with hub.without_waiting():
            return read()
    except (OSError, ValueError) as error:
        from huggingface_hub import constants

        raise ValueError(
            f"the {what} of 'hf/{name}' could not be fetched: there is no such folder, and transformers looked in the cache "
            f"{hub.cache()} and at {constants.ENDPOINT}/{name} ({first_line(error)}); copy the cache from a machine with "
            "network (the variable HF_HOME moves it), or put the model's files in a folder and name it: hf/<folder>"
        ) from error


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """In the block, transformers shows only errors, and progress bars only of downloads."""
    require("transformers", "transformers", f"model 'hf/{name}'")
    from transformers.utils import logging as transformers_logging

    logger, shows_progress = logging.getLogger("transformers"), transformers_logging._tqdm_active
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers_logging._tqdm_active = False  # disable_progress_bar() also hides the downloads of huggingface_hub
    try:
        yield
    finally:
        logger.setLevel(level)
        transformers_logging._tqdm_active = shows_progress
