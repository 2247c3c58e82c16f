"""Numbers, durations and lists of names as text for people."""

from __future__ import annotations

from collections.abc import Sequence


def count(n: int, what: str = "experiment") -> str:
    """`1 experiment`, `2 experiments`."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 7 more`: at most `most` names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shorten(text: str, length: int) -> str:
    """The text, cut to `length` characters, `...` included."""
    return text if len(text) <= length else text[: length - 3] + "..."
