"""Hints for error messages: the known names that are close to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], n: int = 1) -> str:
    """`; did you mean 'a' or 'b'?` with up to n known names; empty if none is close.

    Close is a name that extends the word after a dot (rcv1: rcv1.binary), else one with a similar spelling.
    """
    names = list(known)
    extensions = [name for name in names if name.startswith(f"{word}.")]
    close = extensions[:n] or difflib.get_close_matches(word, names, n=n)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
