"""Packages that only some families need: they are imported where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, package: str, needed_by: str) -> ModuleType:
    """Import `module` of the optional `package`; `needed_by`, such as "dataset 'tfds/mnist'", is for the message.

    Raises ValueError, which says what to install, if the package is not installed. Errors inside an installed
    package pass through.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{needed_by} needs the package {package}: pip install -r requirements.txt -r requirements-extras.txt"
        ) from None
