"""A run's options: the table of all (options.py), reading them from files (reading.py), and what can be wrong (checks.py)."""

from src.config.checks import check
from src.config.judged import judged_columns
from src.config.options import (
    CHANGES_NUMBERS,
    DECIDED,
    DEFAULTS,
    FIELDS,
    FILLED,
    OPTIONS,
    Config,
    Found,
    differences,
    record,
    to_dict,
    type_name,
)
from src.config.reading import ConfigError, build, checked, convert, load

__all__ = [
    "CHANGES_NUMBERS",
    "DECIDED",
    "DEFAULTS",
    "FIELDS",
    "FILLED",
    "OPTIONS",
    "Config",
    "ConfigError",
    "Found",
    "build",
    "check",
    "checked",
    "convert",
    "differences",
    "judged_columns",
    "load",
    "record",
    "to_dict",
    "type_name",
]
