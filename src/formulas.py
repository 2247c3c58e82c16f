"""The formulas of job and config files: `'10.0 ** np.arange(-4, 0)'` becomes a list, by walking the syntax tree.

Nothing runs but what the tables below name: no eval, no other function, no attribute of any other object.
Nothing hangs: each operation is charged with the size of what it takes and gives, and the few that make
something large out of something small (`*`, `**`, range, np.arange, ...) are measured before they are done.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MAX_TEXT = 10_000  # characters; deeper nesting than fits here could exhaust Python's own parser
MAX_SIZE = 100_000  # numbers and characters in one value; a nested list counts as often as it occurs
MAX_OPERATIONS = 500_000  # less than a second
MAX_INT = 10**15  # far below where floats lose whole numbers and where those of numpy overflow

# fmt: off
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items, ast.NotIn: lambda item, items: item not in items,
}
_TYPES = {"bool": bool, "float": float, "int": int, "str": str}  # also values: x.astype(float)
_FUNCTIONS: dict[str, Callable[..., Any]] = _TYPES | {
    "abs": abs, "all": all, "any": any, "dict": dict, "enumerate": enumerate, "len": len, "list": list, "max": max,
    "min": min, "range": range, "reversed": reversed, "round": round, "sorted": sorted, "tuple": tuple, "zip": zip,
    "set": lambda items=(): sorted(set(items)),  # one order, on every machine
    "sum": lambda items: sum(items),  # of numbers: a sum of lists needs a start, and quadratic time
}
_MATH = ["ceil", "cos", "exp", "floor", "log", "log10", "log1p", "log2", "pow", "sin", "sqrt", "tan", "tanh"]
_RANGES = ["arange", "geomspace", "linspace", "logspace"]
_NUMPY = [*_RANGES, "abs", "array", "ceil", "exp", "exp2", "floor", "log", "log10", "log1p", "log2", "round", "sqrt"]
_KEYWORDS = {"base", "decimals", "dtype", "endpoint", "num", "start", "step", "stop"}  # of these
_METHODS = ["astype", "copy", "item", "max", "min", "round", "tolist"]  # of arrays
_REASONS: dict[type, str] = {
    KeyError: "a dictionary lacks a key", OverflowError: "a number is too large", RecursionError: "it is nested too deeply",
}
# fmt: on
_CODE = (ast.Call, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.JoinedStr)


def evaluate(text: str, arithmetic: bool = True) -> Any:
    """The value of a formula, made of lists, dictionaries, numbers, text, True, False and None; other text as it is.

    A formula starts with `[` or `{`, or holds a call or a comprehension; unless `arithmetic` is False, arithmetic on
    numbers alone is one too (`10 ** -2`). `timm/resnet18`, `0.9,0.999`, `(1, 2)` and `train[:80%]` are other text.
    Operators work as in Python, on arrays as in numpy. Arrays, ranges, tuples, generators and sets become lists, a set
    in sorted order. Raises ValueError with the reason for everything that the tables above do not name, for numbers
    that are infinite, undefined or whole and 1e15 or more, and for what would be too large or take too long.
    """
    formula = text.strip()
    if len(formula) > MAX_TEXT:
        raise ValueError(f"{_short(formula)} is longer than {MAX_TEXT} characters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python about odd literals, of numpy about results that are refused below
        try:
            tree = ast.parse(formula, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            if not formula.startswith(("[", "{")):
                return text
            raise ValueError(f"{_short(formula)} starts like a list and cannot be read as one") from None
        if formula[0] not in "[{" and not _is_formula(tree, arithmetic):
            return text
        try:
            return _plain(_Evaluation().value(tree, _TYPES))
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            reason = _REASONS.get(type(error)) or " ".join(str(error).split())
    raise ValueError(f"{_short(formula)} cannot be evaluated: {reason}")


def _is_formula(tree: ast.expr, arithmetic: bool) -> bool:
    nodes = list(ast.walk(tree))
    if any(isinstance(node, _CODE) for node in nodes):
        return True
    numbers = all(isinstance(node.value, (int, float)) for node in nodes if isinstance(node, ast.Constant))
    names = all(node.id in ("math", "np", "numpy") for node in nodes if isinstance(node, ast.Name))
    return arithmetic and numbers and names and any(isinstance(node, (ast.BinOp, ast.Attribute)) for node in nodes)


class _Evaluation:
    """One walk over one formula; `spend` limits its time and memory."""

    left: float = MAX_OPERATIONS

    def spend(self, *sizes: float) -> None:
        """Called for every node, and with the size of every value before it is made or used."""
        if max(sizes, default=0) > MAX_SIZE:
            raise ValueError(f"it makes more than {MAX_SIZE} values or digits")
        self.left -= sum(sizes)
        if self.left < 0:
            raise ValueError(f"it takes more than {MAX_OPERATIONS} operations")

    def value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        """The value of an expression; `names` are the types, and the variables of the comprehensions around it."""
        self.spend(1)
        result: Any
        match node:
            case ast.Name() if node.id in names:
                return names[node.id]
            case ast.Slice():
                return slice(*(end and self.value(end, names) for end in (node.lower, node.upper, node.step)))
            case ast.Constant():
                result = node.value
            case ast.List() | ast.Tuple() | ast.Set():
                result = _FUNCTIONS[type(node).__name__.lower()](self.items(self.values(node.elts, names)))
            case ast.Dict() if None not in node.keys:
                keys = self.items(self.values(node.keys, names))
                result = dict(zip(keys, self.values(node.values, names), strict=True))
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                result = self.items(self.rounds(node.generators, names, [node.elt]))
                result = sorted(set(result)) if isinstance(node, ast.SetComp) else result
            case ast.DictComp():
                pairs = iter(self.items(self.rounds(node.generators, names, [node.key, node.value])))
                result = dict(zip(pairs, pairs, strict=True))
            case ast.UnaryOp() if type(node.op) in _OPERATORS:
                result = _OPERATORS[type(node.op)](self.value(node.operand, names))
            case ast.BinOp() if type(node.op) in _OPERATORS:
                result = self.operation(type(node.op), self.value(node.left, names), self.value(node.right, names))
            case ast.Compare():
                sides = itertools.pairwise(self.values([node.left, *node.comparators], names))
                result = all(self.operation(type(op), *pair) for op, pair in zip(node.ops, sides, strict=True))
            case ast.BoolOp():
                for result in (self.value(operand, names) for operand in node.values):
                    if bool(result) == isinstance(node.op, ast.Or):
                        break
            case ast.IfExp():
                result = self.value(node.body if self.value(node.test, names) else node.orelse, names)
            case ast.Subscript():
                result = self.value(node.value, names)[self.items([self.value(node.slice, names)])[0]]
            case ast.JoinedStr():
                result = "".join(self.values(node.values, names))
            case ast.FormattedValue(conversion=-1, format_spec=None):
                result = str(*self.items([self.value(node.value, names)]))
            case ast.Attribute(value=ast.Name(id="math" | "np" | "numpy"), attr="pi" | "e"):
                result = getattr(math, node.attr)
            case ast.Call():
                result = self.call(node, names)
            case _:
                raise ValueError(f"{_short(ast.unparse(node))} is unknown or not allowed here")
        result = _checked(result)
        self.spend(_size(result))
        return result

    def values(self, nodes: Sequence[Any], names: Mapping[str, Any]) -> list[Any]:
        """The values of the elements of a list or of the arguments of a call, with `*items` unpacked."""
        found = []
        for node in nodes:
            starred = isinstance(node, ast.Starred)
            found += self.items(self.value(node.value, names)) if starred else [self.value(node, names)]
        return found

    def items(self, value: Any) -> list[Any]:
        """What `value` holds, to be looped over, hashed or formatted."""
        self.spend(_size(value))
        return list(_without_array(value))

    def rounds(self, loops: list[ast.comprehension], names: Mapping[str, Any], elements: list[ast.expr]) -> list[Any]:
        """The values of `elements` in each round of `for ... in ... if ...`, one after another."""
        found = []
        for item in self.items(self.value(loops[0].iter, names)):
            scope = {**names, **_bound(loops[0].target, item)}
            self.spend(len(scope))
            if all(self.value(condition, scope) for condition in loops[0].ifs):
                found += self.rounds(loops[1:], scope, elements) if loops[1:] else self.values(elements, scope)
        return found

    def operation(self, kind: type, left: Any, right: Any) -> Any:
        """The result of an operator of arithmetic or a comparison."""
        self.spend(_size(left), _size(right))
        arrays = _is_array(left) or _is_array(right)
        left, right = (_numbers(left), _numbers(right)) if arrays else (left, right)
        whole = all(isinstance(x, int) or (_is_array(x) and x.dtype.kind != "f") for x in (left, right))
        if arrays and whole and kind is ast.Pow and _numpy().any(right < 0):
            raise ValueError("whole numbers have no whole negative powers; write 10.0 ** np.arange(-4, 0)")
        if kind is ast.Mult and not arrays and not whole:  # perhaps of a list or text by a number
            times = max([1, *(side for side in (left, right) if isinstance(side, int))])
            self.spend((_size(left) * _size(right) - 1) * times)
        if kind is ast.Mod and isinstance(left, str):  # '%999999999d' % 1
            raise ValueError("text is formatted by f'{...}', not by %")
        if whole and kind in (ast.Mult, ast.Pow, ast.FloorDiv, ast.Mod):  # in numpy these overflow in silence
            _checked(_OPERATORS[kind](left * 1.0, right * 1.0), MAX_INT)
        return _OPERATORS[kind](left, right)

    def call(self, node: ast.Call, names: Mapping[str, Any]) -> Any:
        """The result of a function or method that one of the tables names."""
        owner = []
        match node.func:
            case ast.Name(id=name) if name in _FUNCTIONS:
                function = _FUNCTIONS[name]
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name in _MATH:
                function = getattr(math, name)
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) if name in _NUMPY:
                function = getattr(_numpy(), name)
            case ast.Attribute(attr=name) if name in _METHODS:
                owner = [_numpy().asarray(_numbers(self.value(node.func.value, names)))]
                function = getattr(_numpy().ndarray, name)
            case _:
                name = ast.unparse(node.func)
                known = {"math": _MATH, "np": _NUMPY, "numpy": _NUMPY}.get(name.partition(".")[0], _FUNCTIONS)
                raise ValueError(f"{_short(name)} cannot be called; known: {', '.join(known)}")
        convert = _numbers if isinstance(node.func, ast.Attribute) or name == "abs" else _without_array
        args = [*owner, *map(convert, self.values(node.args, names))]
        kwargs: dict[Any, Any] = {key.arg: convert(self.value(key.value, names)) for key in node.keywords}
        if convert is _numbers and (unknown := sorted(map(str, kwargs.keys() - _KEYWORDS))):
            raise ValueError(f"{name} takes no {unknown[0]!r} here")
        self.spend(*map(_size, (*args, *kwargs.values())), _work(name, args, kwargs))
        result = function(*args, **kwargs)
        return self.items(result) if isinstance(result, (range, Iterator)) else result


def _work(name: str, args: list[Any], kwargs: dict[str, Any]) -> float:
    """What a function makes that may be larger than its arguments: values, or the digits of 10**decimals."""
    if name == "round":
        return max((abs(digits) for digits in (*args[1:], *kwargs.values()) if isinstance(digits, int)), default=0)
    if name not in _RANGES:
        return 0
    start = [0] if name == "arange" and len(args) == 1 and "stop" not in kwargs else []
    given = dict(zip(("start", "stop", "step" if name == "arange" else "num"), [*start, *args], strict=False))
    given = {"start": 0, "stop": 0, "step": 1, "num": 50} | given | kwargs
    length = (given["stop"] - given["start"]) / given["step"] if name == "arange" else given["num"]
    return max(float(length), 0) * max(map(_size, (*args, *kwargs.values())), default=1)  # a list's items have each


def _bound(target: ast.expr, item: Any) -> dict[str, Any]:
    """What `for a, (b, c) in ...` gives to a, b and c."""
    match target, item:
        case ast.Name(id=name), _:
            return {name: item}
        case ast.Tuple(elts=parts) | ast.List(elts=parts), list() | tuple() if len(parts) == len(item):
            return {name: value for bound in map(_bound, parts, item) for name, value in bound.items()}
    raise ValueError(f"'for {ast.unparse(target)}' does not fit {_short(repr(item))}")


def _numpy() -> Any:
    import numpy  # here: most job files need no numpy

    return numpy


def _is_array(value: Any) -> bool:
    return hasattr(value, "tolist")


def _without_array(value: Any) -> Any:
    return value.tolist() if _is_array(value) else value


def _numbers(value: Any) -> Any:
    """What numpy may be given: numbers, types, arrays, and lists of numbers as arrays."""
    if isinstance(value, (int, float, type)) or _is_array(value):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, (int, float)) for item in value):
        return _numpy().asarray(value)
    raise ValueError(f"an array is made of numbers, not of {_short(repr(value))}")


def _checked(value: Any, limit: float = math.inf) -> Any:
    """`value`, if a job file can hold it; a number of numpy as one of Python."""
    value = value.item() if getattr(value, "ndim", 1) == 0 else value
    kinds = (int, float, str, list, tuple, dict, type(None))
    if not (value.ndim == 1 and value.dtype.kind in "bif" if _is_array(value) else isinstance(value, kinds)):
        raise ValueError(f"{_short(repr(value))} is no number, text, list, dictionary or array of one dimension")
    for number in value.tolist() if _is_array(value) else [value]:
        if isinstance(number, (int, float)) and not abs(number) < (MAX_INT if isinstance(number, int) else limit):
            raise ValueError("a number is infinite, undefined or too large")
    return value


def _size(value: Any) -> int:
    """The numbers and characters in a value, or some number above MAX_SIZE if they are more."""
    if not isinstance(value, (list, tuple, dict)):
        return 1 + (len(value) if isinstance(value, (str, range)) else getattr(value, "size", 0))
    size = 1
    for part in itertools.chain(value, value.values()) if isinstance(value, dict) else value:
        size += _size(part)
        if size > MAX_SIZE:
            break
    return size


def _plain(value: Any) -> Any:
    """The value with arrays and tuples as lists."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    value = _without_array(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else _checked(value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
