"""Packages that only some families need: imported where they are used, and named if they are not installed."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, package: str, wanted_by: str) -> ModuleType:
    """The imported `module` of the optional `package`, for `wanted_by`, such as "dataset 'tfds/mnist'".

    Raises ValueError that says what to install if the package is not there. What goes wrong inside a package
    that is installed is no missing package, and comes through as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{wanted_by} needs the package {package}: pip install -r requirements.txt -r requirements-extras.txt"
        ) from None
