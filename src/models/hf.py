"""`hf/<name or folder>`: transformers' classifiers of texts or images.

The name is one on the hub (`hf/google-bert/bert-base-uncased`, `hf/google/vit-base-patch16-224`) or a folder with a
config.json, whose type decides between texts and images. Code that comes with a model is never run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.config import Config
from src.data.source import Inputs
from src.models.hf_files import first_line, quiet, read_config, read_image_inputs, read_tokenizer, read_weights


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
            network = auto.from_config(network_config, dtype=torch.float32, trust_remote_code=False)
        model = Classifier(network, output_dim)
        if kind == "image":
            try:
                with torch.no_grad():
                    model.eval()(torch.zeros(1, *input_shape))  # many errors of shape occur only here
            except Exception as error:  # transformers raises value, type and runtime errors for a wrong shape
                raise ValueError(
                    f"model 'hf/{name}' does not take images of shape {input_shape}: {first_line(error)}"
                ) from error
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

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """The layers for timm's layer decay: parameters before the largest list of blocks, each block, parameters after."""
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


def _fit_images(name: str, network_config: Any, input_shape: tuple[int, ...], config: Config) -> None:
    """Set channels and size of an untrained model to those of the images; pretrained weights keep their own."""
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
