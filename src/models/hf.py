"""`hf/<name or folder>`: transformers' classifiers of texts or images.

The name is one on the hub (`hf/google-bert/bert-base-uncased`, `hf/google/vit-base-patch16-224`) or a folder with a
config.json, whose type decides between texts and images. Code that comes with a model is never run.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.config import Config
from src.data.source import Inputs
from src.models.hf_files import quiet, read_config, read_image_inputs, read_tokenizer, read_weights


def inputs(name: str, config: Config) -> Inputs:
    """The model's tokenizer, or the size and normalisation of its images.

    Raises ValueError if they cannot be read, or if `text_max_tokens` exceeds the limit of the model.
    """
    with quiet(name):
        network_config = read_config(name, config)
        if _kind(name, network_config) == "text":
            return Inputs(tokenizer=read_tokenizer(name, network_config, config))
        return read_image_inputs(name, network_config, config)


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None = None
) -> nn.Module:
    """With `model_pretrained` the weights of `name`, and a new last layer unless its own has `output_dim` outputs;
    without, an untrained model of the same architecture. `model_kwargs` are fields of the model's config.json.

    Raises ValueError for files that cannot be read, or a model that does not fit the images.
    """
    with quiet(name):
        import transformers

        network_config = read_config(name, config)
        kind = _kind(name, network_config)
        if kind == "image":
            _fit_images(name, network_config, input_shape, config)
        text_config = network_config.get_text_config()
        if kind == "text" and text_config.pad_token_id is None:
            text_config.pad_token_id = read_tokenizer(name, network_config, config).pad_token_id
        network_config.num_labels = output_dim
        auto = getattr(transformers, f"AutoModelFor{'Sequence' if kind == 'text' else 'Image'}Classification")
        if config.model_pretrained:
            network = read_weights(name, auto, network_config)
        else:
            network_config.architectures = network_config.architectures or []  # transformers takes no null here
            with _taking_images(name, input_shape) if kind == "image" else contextlib.nullcontext():
                network = auto.from_config(network_config, dtype=torch.float32, trust_remote_code=False)
        model = Classifier(network, output_dim)
        if kind == "image":
            with _taking_images(name, input_shape), torch.no_grad():
                model.eval()(torch.zeros(1, *input_shape))  # many errors of shape occur only here
    return model.train()


class Classifier(nn.Module):
    """A classifier of transformers (`network`) that returns its logits (n, output_dim).

    It takes images (n, channels, height, width), or the tokens of n texts: a dictionary of int64 tensors (n, n_tokens).
    """

    def __init__(self, network: Any, output_dim: int) -> None:
        super().__init__()
        self.network, self.output_dim = network, output_dim

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        return self.network(**(x if isinstance(x, Mapping) else {self.network.main_input_name: x})).logits

    def get_classifier(self) -> nn.Module:
        """All modules after the pretrained body; a ModuleList if the logits are an average of several heads."""
        body = self.network.base_model
        parts = [part for part in self.network.children() if part is not body and any(True for _ in part.parameters())]
        if body is self.network:  # the model does not declare its body
            parts = parts[-1:]
        heads = [part for part in parts if _out_features(part) == self.output_dim]
        return nn.ModuleList(heads) if len(heads) > 1 else nn.Sequential(*parts)

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float]:
        """The layers for timm's layer decay: parameters before the blocks, each block, parameters after the blocks.

        The blocks are the largest list of modules; of an encoder-decoder, the encoder's and then the decoder's. What is
        not in the pretrained body is the last layer, wherever the model registers it.
        """
        body = self.network.base_model
        encoder_decoder = getattr(self.network.config, "is_encoder_decoder", False)
        stacks = [body.encoder, body.decoder] if encoder_decoder else [self]
        layers: dict[int, float] = {}  # by parameter
        depth = 0
        for stack in stacks:
            blocks = _largest_list(stack)
            numbers = {id(p): depth + n for n, block in enumerate(blocks, start=1) for p in block.parameters()}
            depth += len(blocks)
            after = math.inf if stack is stacks[-1] else depth
            before = True
            for name, parameter in stack.named_parameters():
                before = before and id(parameter) not in numbers
                is_stem = before or (encoder_decoder and "embed" in name)  # some register these after the blocks
                layers.setdefault(id(parameter), numbers.get(id(parameter), 0 if is_stem else after))
        in_body = {id(parameter) for parameter in body.parameters()}
        by_name = {name: layers.get(id(p), 0) if id(p) in in_body else math.inf for name, p in self.named_parameters()}
        return by_name.__getitem__


def _largest_list(module: nn.Module) -> list[nn.Module]:
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    return list(max(lists, key=lambda part: sum(p.numel() for p in part.parameters()), default=[]))


def _out_features(module: nn.Module) -> int | None:
    widths = [layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear)]
    return widths[-1] if widths else None


def _kind(name: str, network_config: Any) -> str:
    """'text' or 'image'."""
    import transformers

    text = type(network_config) in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    image = type(network_config) in transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    if not text and not image:
        raise ValueError(
            f"model 'hf/{name}' is of type {network_config.model_type!r}, for which transformers has no classifier of "
            "texts or images"
        )
    if text and image:
        return "image" if "ImageClassification" in " ".join(network_config.architectures or []) else "text"
    return "text" if text else "image"


@contextlib.contextmanager
def _taking_images(name: str, input_shape: tuple[int, ...]) -> Iterator[None]:
    """In the block, any error becomes a ValueError with one sentence."""
    try:
        yield
    except Exception as error:  # transformers raises value, type and runtime errors for a wrong shape
        raise ValueError(
            f"model 'hf/{name}' does not take images of shape {input_shape}: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error


def _fit_images(name: str, network_config: Any, input_shape: tuple[int, ...], config: Config) -> None:
    """Set channels and size of an untrained model to those of the images; pretrained weights keep their own."""
    if len(input_shape) != 3:
        raise ValueError(
            f"model 'hf/{name}' takes images (channels, height, width), and the samples have shape {input_shape}"
        )
    channels, height, width = input_shape
    if config.model_pretrained:
        return
    with _taking_images(name, input_shape):  # a config checks the types of its fields
        if hasattr(network_config, "num_channels"):
            network_config.num_channels = channels
        if hasattr(network_config, "image_size") and "image_size" not in config.model_kwargs:
            one_number = height == width and not isinstance(network_config.image_size, list | tuple)
            network_config.image_size = height if one_number else [height, width]
