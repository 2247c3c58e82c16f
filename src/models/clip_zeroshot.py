"""`clip_zeroshot/<name>`: a CLIP model as a classifier without training, with a head made from the names of the classes.

The outputs are CLIP's: the cosine of the embeddings of image and class, times the learnt scale. The model is evaluated
as it is (train_length 0) or fine-tuned. Names are those of clip/ (src/models/clip.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from src.config import Config
from src.models import clip

TEMPLATES = ("a photo of a {}.",)
inputs = clip.inputs


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None = None
) -> nn.Module:
    """An ImageClassifier. The head row of a class is the mean of the normalised embeddings of its texts, normalised.

    The texts are TEMPLATES with the class's name, underscores replaced by spaces, for {}. config.model_kwargs may have
    other `templates`, and `class_names` in place of the data's. Raises ValueError without names, and as `clip.build`.
    """
    if not config.model_pretrained:
        raise ValueError(
            f"model {config.model!r} needs pretrained weights to make its head from names; set model_pretrained: true"
        )
    kwargs = dict(config.model_kwargs)
    templates = _texts("templates", kwargs.pop("templates", TEMPLATES))
    if any("{}" not in template for template in templates):
        raise ValueError(f"model_kwargs: each of templates must contain {{}}, the place of the name, not {templates}")
    from_data = [class_name.replace("_", " ") for class_name in class_names or []]
    names = _texts("class_names", kwargs.pop("class_names", from_data))
    if len(names) != output_dim:
        raise ValueError(
            f"model {config.model!r} needs a name for each of {output_dim} classes, and "
            f"{'has ' + str(len(names)) if names else 'the data have none'}; "
            "set them by model_kwargs: {class_names: [...]}, in the order of the labels"
        )
    with clip.calling_open_clip(name, config) as open_clip:
        model = clip.create(open_clip, name, input_shape, config, kwargs).eval()
        tokenizer = open_clip.get_tokenizer(
            name if name.startswith(("hf-hub:", "local-dir:")) else name.partition(":")[0]
        )
        prompts = [lambda class_name, t=template: t.replace("{}", class_name) for template in templates]
        slow = len(names) * len(prompts) > 500
        weight = open_clip.build_zero_shot_classifier(model, tokenizer, names, prompts, use_tqdm=slow)  # (dim, class)
        bias = getattr(model, "logit_bias", None)  # SigLIP has one
        head = nn.Linear(len(weight), output_dim, bias=bias is not None)
        with torch.no_grad():
            head.weight.copy_(model.logit_scale.exp() * weight.T)
            if bias is not None:
                head.bias.copy_(bias.expand(output_dim))
        visual, _ = clip.image_encoder(model, input_shape)
    return clip.ImageClassifier(visual, head, normalize=True)


def _texts(option: str, value: object) -> Sequence[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"model_kwargs: {option} must be a list of texts, not {value!r}")
    return value
