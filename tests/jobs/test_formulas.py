"""Formulas in job files: what they give, what is plain text, and what is refused without being run."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from src.formulas import MAX_INT, evaluate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # lists and comprehensions
        ("[1e-3, 1e-2]", [0.001, 0.01]),
        ("[10**(-i) for i in range(3)]", [1, 0.1, 0.01]),
        ("  [2**i for i in range(4) if i % 2 == 0 or i > 2] ", [1, 4, 8]),
        ("[a * b for a, b in [(1, 2), (3, 4)]]", [2, 12]),
        ("[i + j for i in [10, 20] for j in range(i // 10)]", [10, 20, 21]),
        ("[i + j for i, (j, k) in zip([1, 2], [(3, 4), (5, 6)])]", [4, 7]),
        ("[[i * j for j in range(2)] for i in range(2)]", [[0, 0], [0, 1]]),
        ("['poly_8', None, True]", ["poly_8", None, True]),
        ("[1] * 3 + [2]", [1, 1, 1, 2]),
        ("[*range(3), 10]", [0, 1, 2, 10]),
        ("['a' if i > 1 else 'b' for i in range(3)]", ["b", "b", "a"]),
        ("[1 < 2 < 3, 2 in [1], not 1, 1 and 2, 0 or 3, None is None]", [True, False, False, 2, 3, True]),
        ("(i**2 for i in range(3))", [0, 1, 4]),
        # the everyday functions
        ("range(3)", [0, 1, 2]),
        ("list(range(10, 0, -5))", [10, 5]),
        ("tuple(range(2))", [0, 1]),
        ("sorted([3, 1, 2], reverse=True)", [3, 2, 1]),
        ("reversed(range(3))", [2, 1, 0]),
        ("zip([1, 2], 'ab')", [[1, "a"], [2, "b"]]),
        ("[i * x for i, x in enumerate([5, 6], start=1)]", [5, 12]),
        ("[round(2 / 3, 2), round(2.5), int('7'), float(3), str(0.5), bool(0)]", [0.67, 2, 7, 3.0, "0.5", False]),
        (
            "[min(2, 1), max([1, 3]), sum(x for x in range(4)), abs(-2), len('ab'), all([]), any([1])]",
            [1, 3, 6, 2, 2, True, True],
        ),
        ("[f'train[:{p}%]' for p in (10, 20)]", ["train[:10%]", "train[:20%]"]),
        ("math.sqrt(16)", 4.0),
        ("[math.log(math.e), math.exp(0), math.log10(100), math.floor(math.pi)]", [1.0, 1.0, 2.0, 3]),
        # a set is in sorted order, also where a loop goes over it
        ("{30, 4, 5, 4}", [4, 5, 30]),
        ("{x for x in 'hello'}", ["e", "h", "l", "o"]),
        ("[x + '!' for x in {'c', 'a', 'b'}]", ["a!", "b!", "c!"]),
        ("list(set(['b', 'a', 'b']))", ["a", "b"]),
        # dictionaries
        ("dict(train='train[:80%]', val='train[80%:]')", {"train": "train[:80%]", "val": "train[80%:]"}),
        ("{'train': 'train'}", {"train": "train"}),
        ("[dict(width=w) for w in (1, 2)]", [{"width": 1}, {"width": 2}]),
        ("{f'w{i}': i for i in range(2)}", {"w0": 0, "w1": 1}),
        ("dict(zip(['a', 'b'], np.arange(2)))", {"a": 0, "b": 1}),
        ("[{'a': 1}['a']]", [1]),
        # indices and slices
        ("[1, 2, 3][::-1]", [3, 2, 1]),
        ("[[1, 2], [3, 4]][1][0]", 3),
        ("np.arange(5)[1:-1]", [1, 2, 3]),
        ("np.arange(5)[-1]", 4),
        # arrays
        ("[float(x) for x in 2.0 ** np.arange(-6, 3)]", [2.0**i for i in range(-6, 3)]),
        ("10.0 ** np.arange(-4, 0)", [0.0001, 0.001, 0.01, 0.1]),
        ("np.arange(1, 4) / 10", [0.1, 0.2, 0.3]),
        ("2 ** np.arange(3)", [1, 2, 4]),
        ("1 / np.arange(1, 5)", [1.0, 0.5, 1 / 3, 0.25]),
        ("-np.arange(3) + [1, 2, 3]", [1, 1, 1]),
        ("[x**-1 for x in np.arange(1, 3)]", [1.0, 0.5]),
        ("abs(np.arange(-1, 2))", [1, 0, 1]),
        ("np.arange(0, 1, 0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("np.arange(3, dtype=float)", [0.0, 1.0, 2.0]),
        ("np.linspace(0, 1, 3)", [0.0, 0.5, 1.0]),
        ("numpy.linspace(0, 1, num=2)", [0.0, 1.0]),
        ("np.logspace(-3, 0, 4)", [0.001, 0.01, 0.1, 1.0]),
        ("np.logspace(0, 3, num=4, base=2)", [1.0, 2.0, 4.0, 8.0]),
        ("np.geomspace(1e-2, 1, num=2, endpoint=False)", [0.01, 0.1]),
        ("np.array([1, 2]) * 0.5", [0.5, 1.0]),
        ("np.sqrt([1, 4])", [1.0, 2.0]),
        ("np.round(np.linspace(0, 1, 4), 2)", [0.0, 0.33, 0.67, 1.0]),
        ("np.linspace(0, 1, 4).round(2).tolist()", [0.0, 0.33, 0.67, 1.0]),
        ("(2 ** np.arange(2)).astype(float)", [1.0, 2.0]),
        ("[x.item() for x in np.arange(2)]", [0, 1]),
        ("[np.arange(2), (1, 2)]", [[0, 1], [1, 2]]),
        # a number
        ("10 ** -2", 0.01),
        ("1e-3 * 5", 0.005),
        ("2 * math.pi", 6.283185307179586),
    ],
)
def test_a_formula_gives_its_value_in_plain_lists_and_numbers(text: str, expected: Any) -> None:
    assert repr(evaluate(text)) == repr(expected)  # repr: 1 is not 1.0, and np.float64(1.0) is neither


@pytest.mark.parametrize(
    "text",
    [
        "train[:80%]",
        "train[80%:]+test",
        "train[:1000]",
        "timm/resnet18",
        "tiny/wrn_16_4",
        "libsvm/covtype.multiclass",
        "python/my_models:MyNet",
        "poly_8",
        "step_30,60_0.1",
        "0.9,0.999",
        "(0.9, 0.999)",  # of momentum it might be one value
        "constant",
        "sgd",
        "run-2024",
        "2024-01-31",
        "/data/runs/3",
        "~/data-2/cifar",
        "np",
        "a if b else c",
        "$(touch x); ls | cat",
        "${oc.env:HOME}",
        "",
        "\0",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert evaluate(text) == text


@pytest.mark.parametrize("text", ["2024-10-31", "2/3", "1e-3 * 5"])
def test_arithmetic_on_numbers_alone_is_text_for_an_option_that_takes_text(text: str) -> None:
    assert evaluate(text, arithmetic=False) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10 ** np.arange(-4, 0)", r"no whole negative powers; write 10\.0 \*\* np\.arange"),
        ("1 / np.arange(3)", "infinite"),
        ("np.arange(3) // 0", "infinite"),
        ("2 ** np.arange(70)", "too large"),  # in numpy these overflow in silence
        ("np.arange(3) * [1, 2, 9 * 10**14]", "too large"),
        ("np.log([0, 1])", "infinite"),
        ("np.logspace(0, 999, 3)", "infinite"),
        ("np.array([[1, 2]])", "made of numbers"),
        ("np.arange(3) < 2", "ambiguous"),
        ("np.linspce(0, 1, 3)", "known: arange, geomspace, linspace"),
        ("np.linspace(0)", "stop"),
        ("np.linspace(0, 1, nun=3)", "no 'nun'"),
        ("np.sqrt(4, where=False)", "no 'where'"),  # which gives what happens to be in the memory
        ("{float: 1}", "no number, text"),
        ("np.linspace('a', 1)", "made of numbers"),
        ("[1/0]", "division by zero"),
        ("[0**-1]", "negative power"),
        ("[(-8)**0.5]", "no number"),
        ("[1e999]", "infinite"),
        ("[10**15]", "too large"),
        ("math.exp(1000)", "a number is too large"),
        ("[x for x in nothing]", "'nothing' is unknown"),
        ("[a for a, b in [(1, 2, 3)]]", "does not fit"),
        ("[1, 2", "cannot be read"),
        ("{'a': 1", "cannot be read"),
        ("[" * 5000 + "]" * 5000, "cannot be read"),
        ("[" + "-" * 1200 + "1]", "nested too deeply"),
        ("[1, " + "2, " * 9999 + "]", "longer than"),
        ("[1][1]", "out of range"),
        ("{'a': 1}['b']", "lacks a key"),
        ("range(1.5)", "integer"),
        ("range()", "argument"),
        ("list(3)", "not iterable"),
        ("sorted([1, 'a'])", "not supported"),
        ("['a' - 1]", "unsupported operand"),
        ("['%d' % 1]", "formatted by f"),
        ("[f'{1:5}']", "not allowed"),
        ("[lambda: 1]", "not allowed"),
        ("[x := 1]", "not allowed"),
        ("map(float, [1])", "known: bool, float"),
    ],
)
def test_a_formula_that_is_wrong_says_why_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        evaluate(text)
    assert "\n" not in str(caught.value)


def test_without_numpy_in_it_a_formula_does_not_import_numpy() -> None:
    program = "import sys; from src.formulas import evaluate; evaluate('[2**i for i in range(3)]'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert "src.formulas" in done.stdout.split()
    assert "numpy" not in done.stdout.split()


# fmt: off
pieces = st.sampled_from([
    "[", "]", "(", ")", "{", "}", ",", ".", ":", ";", "+", "-", "*", "**", "/", "//", "%", "<", ">", "==", "=", ":=",
    "for", "in", "if", "not", "and", "or", "lambda", "i", "x", "np", "math", "sqrt", "sum", "sorted", "zip", "dict",
    "round", "astype", "item", "float", "*", "range", "list", "linspace", "logspace", "arange", "geomspace", "num",
    "base", "0", "1", "9", "1e308", "1j", "'a'", "f'{x}'", "None", "True", "__class__", "eval", "\\", "#", "$", "\n",
])
# fmt: on


@given(st.one_of(st.text(), st.lists(pieces, max_size=25).map(" ".join), st.lists(pieces, max_size=25).map("".join)))
def test_any_text_is_itself_or_has_a_plain_value_or_is_refused_with_a_sentence(text: str) -> None:
    try:
        value = evaluate(text)
    except ValueError as error:
        assert str(error).startswith(("'", '"'))
    else:
        assert value == text or is_plain(value)


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    return all(map(is_plain, value)) if isinstance(value, list) else type(value) in (int, float, str, bool, type(None))


# --- arithmetic is that of Python and numpy ---------------------------------------------------------------

numbers = st.one_of(st.integers(-9, 99), st.sampled_from(["1e-3", "0.5", "2.0"])).map(str)
arrays = st.one_of(
    st.integers(-4, 4).map("np.arange({0}, {0} + 3)".format),
    st.lists(numbers, min_size=3, max_size=3).map(lambda items: f"np.array([{', '.join(items)}])"),
    st.sampled_from(["np.linspace(0, 1, 3)", "np.logspace(-2, 0, 3)", "np.geomspace(1, 4, num=3)"]),
)

small = st.sampled_from(["0", "1", "2", "3", "-1", "0.5"])  # eval is not bounded


def arithmetic(leaves: st.SearchStrategy[str], exponents: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
            st.builds("({})**({})".format, inner, exponents),
            inner.map("-({})".format),
        ),
        max_leaves=6,
    )


@given(arithmetic(numbers, small).map("[{}]".format))
def test_arithmetic_is_that_of_python(text: str) -> None:
    compare_with_eval(text)


@given(arithmetic(st.one_of(numbers, arrays), st.one_of(arrays, small)))
def test_arithmetic_on_arrays_is_that_of_numpy(text: str) -> None:
    compare_with_eval(text)


def compare_with_eval(text: str) -> None:
    """`text` is digits, operators and functions of numpy, all made by this test."""
    with np.errstate(all="ignore"):
        try:
            expected = eval(text, {"np": np})
        except (ArithmeticError, TypeError, ValueError):
            expected = None
        try:
            value = evaluate(text)
        except ValueError:
            assert expected is None or is_beyond_limits(text), text
        else:
            assert value == text or repr(value) == repr(getattr(expected, "tolist", lambda: expected)())


def is_beyond_limits(text: str) -> bool:
    """Whether some number on the way is infinite, undefined, complex, or a whole one that is too large."""
    for node in ast.walk(InFloats().visit(ast.parse(text, mode="eval"))):
        if isinstance(node, (ast.BinOp, ast.UnaryOp)):
            try:
                value = np.asarray(eval(ast.unparse(node), {"np": np}))
            except (ArithmeticError, TypeError, ValueError):
                return True
            if value.dtype.kind == "c" or not (abs(value) < MAX_INT).all():
                return True
    return False


class InFloats(ast.NodeTransformer):
    """The same in floats, where a whole number of numpy's would overflow in silence."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Constant(float(node.value))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.BinOp(node, ast.Mult(), ast.Constant(1.0))
