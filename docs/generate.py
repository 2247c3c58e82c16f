"""Writes the files that are derived from Config: options.md, and the schemas with which editors check YAML files.

python docs/generate.py            writes docs/options.md, config.schema.json and job.schema.json
python docs/generate.py --check    writes nothing; exit code 1 if a file is out of date
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from src import config, families, schedules  # noqa: E402 - after sys.path is set

DEFAULTS = config.to_dict(config.Config()) | dict.fromkeys(config.FILLED)
SETTABLE = list(config.OPTIONS)
DRAFT = "https://json-schema.org/draft/2020-12/schema"
FORMULA = r"[\[({]|[\d.)]\s*[-+*/%]"  # what the text of a formula has in it

# option: (form, example, meaning), for values with a grammar. The tests parse every example.
GRAMMARS: dict[str, list[tuple[str, Any, str]]] = {
    "data_splits_map": [
        ("`split`", "train", "all of a split of the data set"),
        ("`split[a%:b%]`", "train[:80%]", "a part of it, in percent; either bound may be omitted"),
        ("`split[a:b]`", "train[1000:-500]", "a part of it, by position; negative positions count from the end"),
        ("`one+other`", "train[80%:]+test", "one after the other"),
    ],
    "lr_schedule": [(f"`{name}`", form.example, form.meaning) for name, form in schedules.SCHEDULES.items()],
    "momentum": [
        ("number", 0.9, "the momentum of sgd, or beta1 of the adam family"),
        ("`beta1,beta2`", "0.9,0.98", "both betas of the adam family"),
    ],
    "averaging": [
        ("`poly_<eta>`", "poly_8", "weight (eta+1)/(eta+t) on iterate t; poly_0 is the plain mean, `poly` is poly_8"),
        ("`ema_<decay>`", "ema_0.999", "decay on the old average, so that ema_0.999 moves slowly; `ema` is ema_0.999"),
        ("`none`", "none", "the same as null"),
    ],
}
FAMILIES = families.TABLES


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the documents that are derived from Config.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args().check
    outdated = [path for path, text in documents().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in outdated:
        if not check:
            path.write_text(documents()[path], "utf-8")
        print(
            f"{path.relative_to(DOCS.parent)} {'is out of date: run python docs/generate.py' if check else 'written'}"
        )
    return 1 if check and outdated else 0


def documents() -> dict[Path, str]:
    """Each generated file and its text."""
    return {
        DOCS / "options.md": options_md(),
        DOCS / "config.schema.json": json.dumps(config_schema(), indent=1) + "\n",
        DOCS / "job.schema.json": json.dumps(job_schema(), indent=1) + "\n",
    }


# --- options.md ---------------------------------------------------------------------------------------


def options_md() -> str:
    lines = [
        "<!-- Written by docs/generate.py from src/config/options.py: edit that, then run it. -->",
        "# Options",
        "",
        "Every option of a config file, of `python train.py cfg.yaml option=value`, and of a job file's `parameters`.",
        "Names and defaults are stable: a new option's default is the behaviour before it existed.",
        "A config file may start from others: `base: other.yaml`, or a list of them, relative to it.",
    ]
    sections = dict.fromkeys(field.metadata["section"] for field in config.FIELDS.values())
    for section in sections:
        lines += ["", f"## {section}", "", "| option | type | default | meaning |", "| --- | --- | --- | --- |"]
        for name, field in config.FIELDS.items():
            if field.metadata["section"] == section:
                cells = [f"`{name}`", config.type_name(name), f"`{_default(name)}`"]
                lines.append(_row([*cells, field.metadata["meaning"] + _limits(field.metadata)]))
    lines += ["", "## Values with a grammar"]
    for option, forms in GRAMMARS.items():
        lines += ["", f"### {option}", "", "| form | example | meaning |", "| --- | --- | --- |"]
        lines += [_row([form, f"`{example}`", meaning]) for form, example, meaning in forms]
    for option, table in FAMILIES.items():
        lines += ["", f"### {option}", "", "| family | example | read by |", "| --- | --- | --- |"]
        lines += [_row([f"`{name}`", f"`{family.example}`", family.module]) for name, family in table.items()]
    return "\n".join(lines) + "\n"


def _default(name: str) -> str:
    value = DEFAULTS[name]
    return value if isinstance(value, str) else json.dumps(value)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(text: str) -> str:
    """Escape < > and * outside of backticks, and |, which ends a cell of a table even inside them."""
    escaped = re.sub(r"(`[^`]*`)|([<>*])", lambda match: match[1] or f"\\{match[2]}", text)
    return escaped.replace("|", r"\|")


def _limits(metadata: Mapping[str, Any]) -> str:
    if metadata["choices"]:
        return f" ({', '.join(f'`{choice}`' for choice in metadata['choices'])})"
    limits = [("at_least", "at least"), ("above", "above"), ("at_most", "at most")]
    parts = [f"{words} {metadata[key]}" for key, words in limits if metadata[key] is not None]
    return f" ({', '.join(parts)})" if parts else ""


# --- schemas ------------------------------------------------------------------------------------------


def config_schema() -> dict[str, Any]:
    """The schema of a config file: any of the options that can be set, and `base`."""
    base = {
        "description": "file, or files, to start from, relative to this one",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    options = {name: {**_documented(name), **_value(name)} for name in SETTABLE}
    return {
        "$schema": DRAFT,
        "title": "config file of train.py",
        "type": ["object", "null"],  # an empty file is a run with the defaults
        "properties": {"base": base, **options},
        "additionalProperties": False,
    }


def job_schema() -> dict[str, Any]:
    """Of a job file: each option has a value, a list of values, or a formula that gives the list."""
    formula = {
        "description": "gives a list, such as 10.0 ** np.arange(-4, 0), or a number, such as 2 ** 7",
        "type": "string",
        "pattern": FORMULA,
    }
    axes: dict[str, Any] = {}
    for name in SETTABLE:
        if name != "output_dir":  # follows from job_details
            values = {"type": "array", "items": _value(name), "minItems": 1}
            axes[name] = {**_documented(name), "anyOf": [_value(name), values, {"$ref": "#/$defs/formula"}]}
    parameters = {
        "type": "object",
        "properties": axes,
        "patternProperties": {
            "^LIST": {
                "description": "dictionaries like parameters: the union of their experiments is one axis of the grid",
                "type": "array",
                "items": {"$ref": "#/$defs/parameters"},
                "minItems": 1,
            },
            "^ZIP": {
                "description": "lists of one length that vary together",
                "type": "object",
                "properties": {name: {"$ref": f"#/$defs/parameters/properties/{name}"} for name in axes},
                "additionalProperties": False,
                "minProperties": 1,
            },
        },
        "additionalProperties": False,
    }
    details = {
        "type": "object",
        "properties": {
            "name": {"description": "name of the job: part of its folder's name", "type": ["string", "integer"]},
            "output_dir": {"description": "folder in which the job's folder is made", "type": ["string", "integer"]},
            "wandb": {"description": "track with Weights & Biases (this version tracks nothing)", "type": "boolean"},
            "wandb_project_name": {"description": "project of Weights & Biases", "type": ["string", "integer"]},
        },
        "required": ["name", "output_dir"],
        "additionalProperties": False,
    }
    return {
        "$schema": DRAFT,
        "title": "job specification of submit_multiple.py",
        "type": "object",
        "properties": {"job_details": details, "parameters": {"$ref": "#/$defs/parameters"}},
        "required": ["job_details", "parameters"],
        "additionalProperties": False,
        "$defs": {"formula": formula, "parameters": parameters},
    }


def _documented(name: str) -> dict[str, Any]:
    return {"description": config.FIELDS[name].metadata["meaning"], "default": DEFAULTS[name]}


def _names(option: str) -> str:
    """A regular expression for the names of an option's families."""
    known = (
        prefix + (f"{family.separator}({family.rest})" if family.rest else "")
        for prefix, family in families.TABLES[option].items()
    )
    return f"^({'|'.join(known)})$"


def _value(name: str) -> dict[str, Any]:
    """The schema of one value of an option."""
    if name == "momentum":
        return {"type": ["number", "string"]}
    if name == "data_splits_map":
        splits = {"properties": {"train": {"type": "string"}}, "additionalProperties": {"type": ["string", "null"]}}
        return {"type": ["object", "string"], **splits, "required": ["train"]}
    hint = typing.get_type_hints(config.Config)[name]
    nullable = type(None) in typing.get_args(hint)
    if nullable:
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    plain = {bool: "boolean", int: "integer", float: "number", str: "string"}
    kind = plain.get(hint) or ("array" if typing.get_origin(hint) is list else "object")
    types = [kind, *(["null"] if nullable else [])]
    schema: dict[str, Any] = {"type": types}
    if kind == "array":
        schema["items"] = {"type": plain[typing.get_args(hint)[0]]}
        types.append(schema["items"]["type"])  # one value is a list of it
    if kind in ("integer", "number"):
        types.append("string")
        schema["pattern"] = FORMULA
    if name in ("loss", "metrics"):  # few names; the other families have too many for a pattern
        for part in (schema, schema["items"]) if kind == "array" else (schema,):
            part["pattern"] = _names(name)
    limits = config.FIELDS[name].metadata
    if limits["choices"]:
        schema["enum"] = [*limits["choices"], *([None] if nullable else [])]
    if limits["at_least"] is not None:
        schema["minimum"] = limits["at_least"]
    if limits["above"] is not None:
        schema["exclusiveMinimum"] = limits["above"]
    if limits["at_most"] is not None:
        schema["maximum"] = limits["at_most"]
    return schema


if __name__ == "__main__":
    sys.exit(main())
