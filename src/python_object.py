"""`python/<module>:<callable>`: import a user's own data set, model, optimizer, loss or metric by its name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src import families
from src.config import Config


def import_callable(text: str, option: str) -> Callable[..., Any]:
    """The object `module:name`, imported from Python's import path.

    `option` is the config option of `text`, for messages. Raises ValueError if the module cannot be imported, or has
    no such callable.
    """
    module_name, _, attribute = text.partition(":")
    what = f"{option} 'python/{text}'"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise any error
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"{what}: there is no module {error.name!r} beside train.py, in PYTHONPATH or installed"
            ) from None
        raise ValueError(f"{what}: importing {module_name!r} failed: {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        problem = "is not callable" if hasattr(module, attribute) else "does not exist"
        raise ValueError(f"{what}: {attribute!r} {problem} in {module.__file__ or module_name}")
    return found


def call(text: str, option: str, /, *args: Any, **kwargs: Any) -> Any:
    """Import the callable `module:name` and call it.

    Raises ValueError if it cannot be imported or does not take these arguments. Its own exceptions pass through: the
    author of the callable needs their traceback.
    """
    function = import_callable(text, option)
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        given = ", ".join(["..." for _ in args] + [f"{name}=..." for name in kwargs])
        raise ValueError(f"{option} 'python/{text}' is called as {text.partition(':')[2]}({given}): {error}") from None
    return function(*args, **kwargs)


def taken(text: str, option: str, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that the callable `module:name` has a parameter for; all if it has **kwargs."""
    parameters = inspect.signature(import_callable(text, option)).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(offered)
    return {name: value for name, value in offered.items() if name in parameters}


def sources(config: Config) -> dict[str, Path]:
    """The source file of each `python/` name in the config, where there is one."""
    found = {}
    for option in families.TABLES:
        value = getattr(config, option)
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and name.startswith("python/"):
                function = import_callable(name.removeprefix("python/"), option)
                file = getattr(sys.modules.get(function.__module__), "__file__", None)
                if file is not None:
                    found[name] = Path(file)
    return found
