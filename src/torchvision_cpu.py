"""Lets torchvision be imported beside a torch without CUDA.

The torchvision wheel of the package registry is built for CUDA. Beside a CPU-only torch its compiled part
cannot be loaded, so the operators `nms` and `qnms` are never declared, and the Python part then fails to
register their shapes: `RuntimeError: operator torchvision::nms does not exist`. Everything that imports
torchvision (timm, for one) fails with it. Once the two are declared, all of torchvision works except
those operators themselves and the decoders in `torchvision.io`, which nothing here uses.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

_declared: list[object] = []  # torch forgets a declaration when its Library object is collected


@functools.cache
def mend() -> None:
    """Call before torchvision, or anything that imports it, is first imported.

    Declares the two operators if torchvision's compiled part cannot be loaded; changes nothing where it can.
    """
    if "torchvision" in sys.modules:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return

    import torch

    for compiled in Path(spec.submodule_search_locations[0]).glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:  # a library that it was linked against is missing, or of another version
            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _declared.append(library)
