"""The formulas of a job file: `'[10**-i for i in range(3)]'` becomes a list, by walking the syntax tree.

Nothing is ever run: no eval, no attribute of any object, no call but the few below. Sizes are checked
before anything is computed and the number of operations is bounded, so that no text can hang it.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_TEXT = 10_000  # characters; deeper nesting than fits here could exhaust Python's own parser
MAX_ITEMS = 100_000  # values in a list
MAX_INT = 10**15  # far below where floats lose whole numbers
MAX_OPERATIONS = 1_000_000  # about a second

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_NUMPY = {  # the arguments that each takes
    "np.arange": ("start", "stop", "step"),
    "np.linspace": ("start", "stop", "num", "endpoint"),
    "np.logspace": ("start", "stop", "num", "endpoint", "base"),
    "np.geomspace": ("start", "stop", "num", "endpoint"),
}
_CALLS = ("range", "list", *_NUMPY)
_TRIED = (ast.Call, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.JoinedStr)


def evaluate_list(text: str) -> list[Any] | None:
    """The list that a formula gives; None if `text` is no formula, or one that gives no list.

    A formula is text that holds a call or a comprehension, starts with `[`, or is arithmetic on numbers
    alone; `timm/resnet18`, `0.9,0.999` and `train[:80%]` are not. It may use numbers, strings, True, False, None,
    lists, tuples, list comprehensions, + - * / // % **, comparisons, and, or, not, range, list,
    np.arange, np.linspace, np.logspace and np.geomspace. Raises ValueError with the reason if it uses
    anything else, goes wrong, or would be too large.
    """
    text = text.strip()
    tree = _parse(text)
    if tree is None or not (text.startswith("[") or _is_formula(tree)):
        return None
    try:
        value = _Evaluation().value(tree, {})
        return _plain(value) if isinstance(value, list) else None
    except ZeroDivisionError:
        raise ValueError(f"{_short(text)} divides by zero") from None
    except OverflowError:
        raise ValueError(f"{_short(text)} makes a number that is too large") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_short(text)} cannot be evaluated: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{_short(text)} is nested too deeply") from None


def _parse(text: str) -> ast.expr | None:
    """The syntax tree; None if the text is not Python and does not look like a list either."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"{_short(text)} is longer than {MAX_TEXT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks about odd literals are not for the user
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        if text.startswith("["):
            raise ValueError(f"{_short(text)} starts like a list and cannot be read as one") from None
        return None


def _is_formula(tree: ast.expr) -> bool:
    nodes = list(ast.walk(tree))
    if any(isinstance(node, _TRIED) for node in nodes):
        return True
    if any(isinstance(node, ast.Attribute) and node.attr.startswith("__") for node in nodes):
        return True  # `libsvm/covtype.multiclass` is a name, `().__class__` is an attempt
    leaves = [node for node in nodes if isinstance(node, (ast.Constant, ast.Name))]
    return any(isinstance(node, ast.BinOp) for node in nodes) and all(_is_number(leaf) for leaf in leaves)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


class _Evaluation:
    """One walk over one formula; `spend` is what keeps it short."""

    def __init__(self) -> None:
        self.operations = 0

    def spend(self, operations: int) -> None:
        """Called before every operation, and with the length of every list before it is made."""
        if operations > MAX_ITEMS:
            raise ValueError(f"it makes a list of more than {MAX_ITEMS} values")
        self.operations += operations
        if self.operations > MAX_OPERATIONS:
            raise ValueError(f"it takes more than {MAX_OPERATIONS} operations")

    def value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        """The value of an expression in which the variables of comprehensions stand for `names`."""
        self.spend(1)
        match node:
            case ast.Constant():
                return _checked(node.value)
            case ast.List():
                return [self.value(item, names) for item in node.elts]
            case ast.Tuple():
                return tuple(self.value(item, names) for item in node.elts)
            case ast.Name() if node.id in names:
                return names[node.id]
            case ast.Name():
                raise ValueError(f"unknown name {node.id!r}")
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return _checked(_UNARY[type(node.op)](self.value(node.operand, names)))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return self.binary(type(node.op), self.value(node.left, names), self.value(node.right, names))
            case ast.BoolOp():
                stop_at = isinstance(node.op, ast.Or)
                for operand in node.values:
                    result = self.value(operand, names)
                    if bool(result) == stop_at:
                        break
                return result
            case ast.Compare():
                return self.compare(node, names)
            case ast.ListComp():
                return [self.value(node.elt, scope) for scope in self.scopes(node.generators, names)]
            case ast.Call():
                return self.call(node, names)
        raise ValueError(f"{_short(ast.unparse(node))} is not allowed here")

    def binary(self, kind: type, left: Any, right: Any) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if kind is ast.Pow and isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
            if right * math.log2(abs(left)) > math.log2(MAX_INT) + 1:
                raise ValueError(f"{left}**{right} is too large")
        elif kind is ast.Mult and not numbers:
            for sequence, times in ((left, right), (right, left)):
                if isinstance(sequence, (list, tuple, str)) and isinstance(times, int):
                    self.spend(len(sequence) * max(times, 0))
        elif kind is ast.Add and not numbers:
            self.spend(sum(len(side) for side in (left, right) if isinstance(side, (list, tuple, str))))
        elif not numbers:  # `'%999999999d' % 1` is formatting, not arithmetic
            raise ValueError(f"- / // % ** work on numbers, not on {_short(repr(left))} and {_short(repr(right))}")
        return _checked(_ARITHMETIC[kind](left, right))

    def compare(self, node: ast.Compare, names: Mapping[str, Any]) -> bool:
        sides = [self.value(side, names) for side in (node.left, *node.comparators)]
        if any(isinstance(side, (list, tuple)) for side in sides):  # a nested one could take for ever
            raise ValueError("lists cannot be compared")
        if not all(type(op) in _COMPARISONS for op in node.ops):
            raise ValueError(f"{_short(ast.unparse(node))} is not allowed; use == != < <= > >=")
        pairs = itertools.pairwise(sides)
        return all(_COMPARISONS[type(op)](left, right) for op, (left, right) in zip(node.ops, pairs, strict=True))

    def scopes(self, loops: list[ast.comprehension], names: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The names that are known in each round of `for ... in ... if ...`."""
        if not loops:
            yield names
            return
        loop, *inner = loops
        items = self.value(loop.iter, names)
        if loop.is_async or not isinstance(items, (list, tuple)):
            raise ValueError(f"'for' goes over lists, not over {_short(repr(items))}")
        for item in items:
            scope = {**names, **_bound(loop.target, item)}
            if all(self.value(condition, scope) for condition in loop.ifs):
                yield from self.scopes(inner, scope)

    def call(self, node: ast.Call, names: Mapping[str, Any]) -> list[Any]:
        name = ast.unparse(node.func)
        if name not in _CALLS:
            raise ValueError(f"{_short(name)} cannot be called; known: {', '.join(_CALLS)}")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ValueError(f"{name} takes no * arguments")
        args = [self.value(argument, names) for argument in node.args]
        kwargs = {str(keyword.arg): self.value(keyword.value, names) for keyword in node.keywords}
        if name in _NUMPY:
            return self.numpy(name, args, kwargs)
        if kwargs or not args or (name == "list" and len(args) > 1):
            raise ValueError(f"{name} does not take these arguments")
        if name == "range":
            numbers = range(*args)
            # a range too long for len() is too long in any case
            self.spend(len(numbers) if abs(numbers.stop - numbers.start) < MAX_INT else MAX_ITEMS + 1)
            return list(numbers)
        if not isinstance(args[0], (list, tuple)):
            raise ValueError(f"list takes a list, not {_short(repr(args[0]))}")
        self.spend(len(args[0]))
        return list(args[0])

    def numpy(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        known = _NUMPY[name]
        if len(args) > len(known):
            raise ValueError(f"{name} takes {', '.join(known)}")
        given = dict(zip(known, args, strict=False))
        if name == "np.arange" and len(args) == 1:
            given = {"start": 0, "stop": args[0]}
        if unknown := [key for key in kwargs if key not in known or key in given]:
            raise ValueError(f"{name} takes {', '.join(known)}, not {unknown[0]!r} here")
        given |= kwargs
        if not all(isinstance(value, (int, float)) for value in given.values()):
            raise ValueError(f"{name} takes numbers")
        if not {"start", "stop"} <= given.keys():
            raise ValueError(f"{name} needs a start and a stop")
        if name == "np.arange":
            length = (given["stop"] - given["start"]) / given.get("step", 1)
        else:
            length = operator.index(given.get("num", 50))
        self.spend(math.ceil(max(length, 0)))

        import numpy as np  # here: most job files need no numpy

        with np.errstate(all="ignore"):  # an overflow shows as inf, which _checked refuses
            values = getattr(np, name.removeprefix("np."))(**given).tolist()
        return [_checked(value) for value in values]


def _bound(target: ast.expr, item: Any) -> dict[str, Any]:
    """What `for a, (b, c) in ...` gives to a, b and c."""
    if isinstance(target, ast.Name):
        return {target.id: item}
    if isinstance(target, (ast.Tuple, ast.List)) and isinstance(item, (list, tuple)) and len(target.elts) == len(item):
        parts = [_bound(part, value) for part, value in zip(target.elts, item, strict=True)]
        return {name: value for part in parts for name, value in part.items()}
    raise ValueError(f"'for {ast.unparse(target)}' does not fit {_short(repr(item))}")


def _checked(value: Any) -> Any:
    """`value`, if it is of a kind and size that a job file can hold."""
    if isinstance(value, int) and abs(value) >= MAX_INT:
        raise ValueError(f"a whole number is {MAX_INT:.0e} or larger")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is infinite or not a number")
    if value is not None and not isinstance(value, (int, float, str, list, tuple)):
        raise ValueError(f"{_short(repr(value))} is no number, text or list")
    return value


def _plain(value: list[Any]) -> list[Any]:
    """The list with tuples as lists, each its own object. Its size counts nested lists: `[[0]*9999]*9999`."""
    left = MAX_ITEMS

    def copy(item: Any) -> Any:
        nonlocal left
        left -= 1
        if left < -1:
            raise ValueError(f"it makes a list of more than {MAX_ITEMS} values")
        return [copy(inner) for inner in item] if isinstance(item, (list, tuple)) else item

    result: list[Any] = copy(value)
    return result
