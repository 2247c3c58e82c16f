"""Reading a Config: `load` takes a YAML file, `build` a dictionary; both return a checked Config.

Nothing heavy is imported, so that a login node can check a large grid.
"""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src import formulas, grammar, yaml_io
from src.config.checks import check
from src.config.options import FILLED, OPTIONS, Config, to_dict, type_name
from src.hints import unknown_option


class ConfigError(ValueError):
    """A config that cannot be run; `problems` holds one sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a config file, then apply `key=value` overrides; dots reach into dictionaries.

    The config.yaml of a run can be read back, to run it again in another folder: what only the program knows, and the
    run's folder, are ignored. Raises ConfigError.
    """
    values, places, problems = _read_with_bases(Path(path), ())
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            if not equals:
                raise ValueError(f"{override!r} is not of the form key=value")
            _set(values, key.strip().split("."), yaml_io.scalar(text))
            places[key.split(".")[0].strip()] = "command line"
        except yaml_io.YamlError as error:  # it names the command line
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"command line: {error}")
    try:
        config = build(values, lambda key: places.get(key, str(path)))
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


def build(values: Mapping[str, Any], where: Callable[[str], str] = lambda key: "config") -> Config:
    """A checked Config from plain values; options that are not named keep their defaults.

    `where` gives the place of a key for messages, such as `cfg.yaml:3`. Raises ConfigError.
    """
    problems = []
    if "${" in repr(values):
        try:
            values = _interpolated(values)
        except OmegaConfBaseException as error:
            raise ConfigError([f"{where(str(error.key))}: {str(error).splitlines()[0]}"]) from None
    typed = {}
    for key, value in values.items():
        if key in FILLED:
            if value is not None:
                problems.append(f"{where(key)}: {key!r} is filled in by the program; remove it")
        elif key not in OPTIONS:
            problems.append(f"{where(key)}: {unknown_option(key, OPTIONS)}")
        else:
            try:
                typed[key] = convert(key, value)
            except ValueError as error:
                problems.append(f"{where(key)}: {error}")
    config = Config(**typed)
    wrong = values.keys() - typed.keys()  # checked with their defaults: nothing follows from these
    problems += [f"{where(key)}: {message}" for key, message in check(config) if key not in wrong]
    if problems:
        raise ConfigError(problems)
    return config


def checked(config: Config) -> Config:
    """The config with every value in its option's type. Raises ConfigError; a program may have made it without a check."""
    return build(to_dict(config))


def convert(option: str, value: Any) -> Any:
    """The value as the option's type: 1 as 1.0, a formula as its number, one value as a list of it. Raises ValueError."""
    if value == "None" and type_name(option) == "text or null":
        raise ValueError(f"{option}: 'None' is text in YAML; write null")
    if option in ("output_dir", "data_dir") and isinstance(value, str):
        return _folder(option, value)
    if option == "data_splits_map":
        return grammar.parse_splits_map(value)
    if option == "momentum":
        grammar.parse_betas(value)
        return value if isinstance(value, str) else float(value)
    if option == "averaging" and isinstance(value, str):
        value = grammar.SHORT_AVERAGING.get(value, value)
    kind = type_name(option).removesuffix(" or null")
    if isinstance(value, str) and kind in ("a number", "a whole number"):
        value = formulas.evaluate(value)  # 2.0 ** -3
    if kind.startswith("a list") and type(value) in ((str,) if kind.endswith("names") else (int, float)):
        value = [value]  # model_input_shape: 784
    if isinstance(value, float) and value.is_integer() and "whole number" in type_name(option):
        value = int(value)  # 1e4 samples
    try:
        # the template is used again and again: only what was set last is read from it
        OmegaConf.update(_template(), option, value, merge=False)
        typed = _template()[option]
    except (OmegaConfBaseException, ValueError):
        text = repr(value)
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ValueError(f"{option}: {shown} is not {type_name(option)}{_way_out(option, value)}") from None
    return OmegaConf.to_container(typed) if OmegaConf.is_config(typed) else typed


def _folder(option: str, value: str) -> str:
    """The name of a folder with `~` and `$HOME` replaced, which only a shell does otherwise."""
    if not value.strip():
        raise ValueError(f"{option}: no folder is named; give one, or remove the line")
    expanded = os.path.expandvars(os.path.expanduser(value))  # noqa: PTH111  Path's raises on the name ~x, and shortens ./x
    if unset := re.search(r"\$[A-Za-z_]\w*", expanded):
        raise ValueError(f"{option}: {value!r} names {unset[0]}, which is not set in the environment")
    return expanded


def _way_out(option: str, value: Any) -> str:
    """What may be meant by a value of another type, and how that is written; empty if that is not known."""
    if value is None:
        return f"; give it a value, or remove the line for the default {getattr(Config(), option)!r}"
    if value == "None" and type_name(option).endswith("or null"):
        return "; write null"
    if "number" not in type_name(option) or type_name(option).startswith("a list"):
        return ""
    if isinstance(value, list) or (isinstance(value, str) and "," in value):
        return "; give one value here (a job file tries each of a list in brackets: [0.1, 0.01])"
    return ""


@functools.cache
def _template() -> Any:
    template = OmegaConf.structured(Config)
    OmegaConf.set_readonly(template, False)  # as a frozen dataclass is
    return template


def _interpolated(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with `${other_option}` replaced, other options being as they are set here or by default."""
    everything = OmegaConf.create({**to_dict(Config()), **values})
    resolved = OmegaConf.to_container(everything, resolve=True)
    assert isinstance(resolved, dict)
    return {key: resolved[key] for key in values}


def _read_with_bases(path: Path, trail: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Values of a file on top of those of its bases, the place of each, and the problems found."""
    if path.resolve() in trail:
        raise ConfigError([f"{path}: is its own base"])
    try:
        document = yaml_io.read(path)
    except yaml_io.YamlError as error:
        raise ConfigError([str(error)]) from None
    own = document.data
    if own is None:  # perhaps an editor has not saved it, or the disk was full
        raise ConfigError([f"{path}: is empty; write its options, or {{}} for a run with the defaults"])
    if not isinstance(own, dict) or not all(isinstance(key, str) for key in own):
        slip = yaml_io.slip(path)
        raise ConfigError([slip or f"{path}: must hold lines of the form 'option: value'"])
    if "job_details" in own:
        raise ConfigError([f"{path}: is a job file; python submit_multiple.py {path} --local 2 runs it"])
    bases = own.pop("base", [])
    if isinstance(bases, str):
        bases = [bases]
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError([f"{document.where('base')}: base must be a file name or a list of them"])
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems = list(document.problems)
    for base in bases:
        base_values, base_places, base_problems = _read_with_bases(path.parent / base, (*trail, path.resolve()))
        values |= base_values
        places |= base_places
        problems += base_problems
    if is_record(own):
        own = {key: value for key, value in own.items() if key not in FILLED and key != "output_dir"}
    return values | own, places | {key: document.where(key) for key in own}, problems


def is_record(values: Mapping[str, Any]) -> bool:
    """Whether a file's values are the record that a run has written as its config.yaml."""
    return {"host_name", "git_commit", "package_versions"} <= values.keys()


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """values[k1][k2]... = value, starting from the default where the file does not set the option."""
    if len(keys) == 1:
        values[keys[0]] = value
        return
    inner = values.get(keys[0])
    if inner is None and keys[0] in OPTIONS:
        inner = getattr(Config(), keys[0])
    if keys[0] == "data_splits_map":
        inner = grammar.parse_splits_map(inner)
    if not isinstance(inner, dict):
        raise ValueError(f"{'.'.join(keys)}: {keys[0]!r} is not a dictionary")
    values[keys[0]] = copy.deepcopy(inner)
    _set(values[keys[0]], keys[1:], value)
