"""YAML as data: safe, with line numbers for messages, without two traps of YAML 1.1.

`1e-3` is a number here (YAML 1.1 requires `1.0e-3`), and a key that is set twice is an error (PyYAML keeps the
last one without a warning).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]  # where a value is in a file: keys and list positions from the top

MAX_VALUES = 1_000_000  # far above any real file; rejects aliases that multiply without end


class YamlError(ValueError):
    """A file that cannot be read as YAML; the message names the file and the line."""


@dataclass
class Document:
    """The content of a file, and the line of each value."""

    origin: str  # the file's name, for messages
    data: Any = None  # dict, list, str, int, float, bool or None
    lines: dict[Place, int] = field(default_factory=dict)  # line (from 1) of each key or item
    problems: list[str] = field(default_factory=list)  # keys that are set twice: the other values can still be checked

    def where(self, *place: str | int) -> str:
        """`file:line` of a value, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.origin}:{self.lines[place]}" if place in self.lines else self.origin


# The C parser is eight times faster; PyYAML may be built without it.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """SafeLoader that reads 1e-3 as a number and leaves dates as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse(text: str, origin: str) -> Document:
    """Read one YAML document. Raises YamlError, with `origin` and the line, for bad syntax or a tag."""
    document = Document(origin)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _construct(loader, node, (), document)
        return document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{origin}:{mark.line + 1}" if mark else origin
        problem = f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}"
        raise YamlError(_slip(text, origin) or problem) from None
    except RecursionError:
        raise YamlError(f"{origin}: nested too deeply, or an alias contains itself") from None


def read(path: Path) -> Document:
    """`parse` the file at `path`. Raises YamlError, also if the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise YamlError(f"{path}: cannot be read: {reason}") from None
    return parse(text, str(path))


def slip(path: Path) -> str:
    """`file:line: sentence` on the first line that is usually meant otherwise than YAML reads it; empty if none is."""
    return _slip(path.read_text(encoding="utf-8"), str(path))


def scalar(text: str) -> Any:
    """The value of one `key=value` from a command line: `1e-3` a float, `null` None, `[1, 2]` a list."""
    return parse(text, "command line").data


def dump(data: Any) -> str:
    """YAML text that `parse` reads back to equal data, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no anchors, and quotes strings that `_Loader` would read as numbers."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


# What people write where YAML asks for something else -> what to do; YAML itself complains a line or more later.
_SLIPS = {
    r"\s* *\t\s*\S": "a tab; YAML is indented with spaces",
    r".*[\u00a0\u2007\u202f\u3000]": "a no-break space, as copied from a page; type that space again",
    r"\s*(- +)?[A-Za-z_][\w.]*:[^\s:/]": "there is no space after the colon; write 'option: value'",
    r"\s*(- +)?[A-Za-z_][\w.]* *=(?!=)": "an equals sign; write 'option: value'",
}


def _slip(text: str, origin: str) -> str:
    """As `slip`, of text. It is asked only where the YAML cannot be read: all of this may be in good text."""
    levels: list[int] = []  # indentations of the lines around
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        for pattern, sentence in _SLIPS.items():
            if re.match(pattern, line):
                return f"{origin}:{number}: {sentence}"
        indent = len(line) - len(line.lstrip())
        deeper = [level for level in levels if level > indent]
        levels = [level for level in levels if level <= indent]
        if deeper and indent not in levels:
            return f"{origin}:{number}: its indentation is that of no line above; align it with one"
        levels += [indent] * (indent not in levels)
    return ""


# Numbers of YAML 1.1 that hardly anyone means: octal and base 60.
_SURPRISING = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def _construct(loader: Any, node: yaml.Node, place: Place, document: Document) -> Any:
    document.lines.setdefault(place, node.start_mark.line + 1)
    if len(document.lines) > MAX_VALUES:
        raise YamlError(f"{document.origin}: more than {MAX_VALUES} values")
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_construct(loader, item, (*place, i), document) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _construct_mapping(loader, node, place, document)
    try:
        value = loader.construct_object(node, deep=True)
    except ValueError:  # such as 0b_, which YAML takes for a binary number
        line = node.start_mark.line + 1
        raise YamlError(f"{document.origin}:{line}: {node.value!r} cannot be read; quote it if it is text") from None
    if isinstance(value, int | float) and _SURPRISING.fullmatch(node.value):
        line, kind = node.start_mark.line + 1, "base 60" if ":" in node.value else "octal"
        raise YamlError(
            f"{document.origin}:{line}: YAML reads {node.value} as {value}, in {kind}; write {value} if that is meant, "
            "else a number without leading zeros and colons, or quotes around text"
        )
    return value


def _construct_mapping(loader: Any, node: yaml.MappingNode, place: Place, document: Document) -> dict[Any, Any]:
    own = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    loader.flatten_mapping(node)  # puts the keys of "<<: *other" before the mapping's own keys
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError(f"{document.origin}:{line}: a key must be a plain word")
        key = loader.construct_object(key_node)
        if own.count(key_node.value) > 1 and key in result:
            document.problems.append(
                f"{document.origin}:{line}: {key!r} is set twice; the first is on line {document.lines[*place, key]}"
            )
        document.lines[*place, key] = line
        result[key] = _construct(loader, value_node, (*place, key), document)
    return result
