"""Makes torchvision importable beside a torch without CUDA.

The torchvision wheel of the package registry is built for CUDA. Beside a CPU-only torch its compiled part
cannot be loaded, so the operators `nms` and `qnms` are never declared, and the Python part then fails to
register their shapes: `RuntimeError: operator torchvision::nms does not exist`. Everything that imports
torchvision (timm, for example) fails with it. Once the two are declared, all of torchvision works except
those operators themselves and the decoders in `torchvision.io`, which nothing here uses.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

_declared: list[object] = []  # torch drops a declaration when its Library object is collected


def patch_torchvision() -> None:
    """Install an import hook: when any module imports torchvision, the two operators are declared first, if needed.

    A hook costs nothing in a run without torchvision, and the code that imports torchvision does not depend on it.
    """
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == "torchvision" else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        _declare_operators(Path(self.path).parent)
        super().exec_module(module)


def _declare_operators(package: Path) -> None:
    import torch

    for compiled in package.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:  # a library that it is linked against is missing, or has another version
            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _declared.append(library)
