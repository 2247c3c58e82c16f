"""Formulas in job files: what is a list, what is plain text, and what is refused without being run."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.jobs.evaluator import MAX_INT, evaluate_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1e-3, 1e-2]", [0.001, 0.01]),
        ("[10**(-i) for i in range(3)]", [1, 0.1, 0.01]),
        ("  [2**i for i in range(4) if i % 2 == 0 or i > 2] ", [1, 4, 8]),
        ("[a * b for a, b in [(1, 2), (3, 4)]]", [2, 12]),
        ("[i + j for i in [10, 20] for j in range(i // 10)]", [10, 20, 21]),
        ("['poly_8', None, True]", ["poly_8", None, True]),
        ("[1] * 3 + [2]", [1, 1, 1, 2]),
        ("range(3)", [0, 1, 2]),
        ("list(range(10, 0, -5))", [10, 5]),
        ("np.arange(3)", [0, 1, 2]),
        ("np.arange(0, 1, 0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("np.linspace(0, 1, 3)", [0.0, 0.5, 1.0]),
        ("np.logspace(-3, 0, 4)", [0.001, 0.01, 0.1, 1.0]),
        ("np.logspace(0, 3, num=4, base=2)", [1.0, 2.0, 4.0, 8.0]),
        ("np.geomspace(1e-2, 1, num=2, endpoint=False)", [0.01, 0.1]),
        ("[-x for x in np.linspace(1, 2, 2)]", [-1.0, -2.0]),
    ],
)
def test_a_formula_gives_its_list(text: str, expected: list) -> None:
    assert evaluate_list(text) == expected


@pytest.mark.parametrize("text", ["np.arange(2)", "np.linspace(0, 1, 2)", "[2**-1, 1]"])
def test_values_are_plain_numbers_of_python(text: str) -> None:
    values = evaluate_list(text)
    assert values is not None
    assert {type(value) for value in values} <= {int, float}


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
        "constant",
        "run-2024",
        "$(touch x); ls | cat",
        "",
        "2**-3",  # a number, and no list
        "(1, 2)",
        "{'train': 'train'}",
        "\0",
    ],
)
def test_other_text_is_one_value(text: str) -> None:
    assert evaluate_list(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os').system('touch x')", "cannot be called"),
        ("open('/etc/passwd')", "cannot be called"),
        ("np.load('x')", "cannot be called"),
        ("[os.environ]", "not allowed"),
        ("().__class__", "not allowed"),
        ("[x.real for x in range(3)]", "not allowed"),
        ("[lambda: 1]", "not allowed"),
        ("[f'{1}']", "not allowed"),
        ("[[1, 2]][0]", "not allowed"),
        ("[x := 1]", "not allowed"),
        ("(i for i in range(3))", "not allowed"),
        ("9**9**9**9", "too large"),
        ("[9**9**9**9]", "too large"),
        ("[9.0**9**9]", "too large"),
        ("range(10**12)", "more than"),
        ("list(range(-10**14, 10**14))", "more than"),
        ("[0]*10**9", "more than"),
        ("['a'*10**9]", "more than"),
        ("[[0]*99999]*99999", "more than"),
        ("[[[[[0]*999]*999]*999]*999]*999", "more than"),
        ("np.linspace(0, 1, 10**9)", "more than"),
        ("np.arange(0, 1, 1e-12)", "more than"),
        ("[i for i in range(99999) for j in range(99999)]", "operations"),
        ("[0 for i in range(99999) for j in [] for k in range(99999)] + [i for i in range(9**9)]", "cannot"),
        ("['%999999999d' % 1]", "work on numbers"),
        ("[1/0]", "divides by zero"),
        ("[0**-1]", "divides by zero"),
        ("[(-8)**0.5]", "no number"),
        ("[1e999]", "infinite"),
        ("np.logspace(0, 999, 3)", "infinite"),
        ("[x for x in nothing]", "unknown name 'nothing'"),
        ("[1, 2", "cannot be read"),
        ("[" * 5000 + "]" * 5000, "cannot be read"),
        ("[1, " + "2, " * 9999 + "]", "longer than"),
        ("range(1.5)", "integer"),
        ("range()", "arguments"),
        ("list(3)", "takes a list"),
        ("np.linspace(0)", "a start and a stop"),
        ("np.linspace(0, 1, out=3)", "'out'"),
        ("np.linspace('a', 1)", "takes numbers"),
        ("[[1] < [2]]", "cannot be compared"),
        ("[a for a, b in [1]]", "does not fit"),
        ("['a' - 1]", "work on numbers"),
    ],
)
def test_a_formula_that_is_refused_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        evaluate_list(text)


def test_refusing_runs_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("__import__('os').system('touch ran')", "[open('ran', 'w') for i in range(1)]"):
        with pytest.raises(ValueError, match="cannot be called"):
            evaluate_list(text)
    assert not (tmp_path / "ran").exists()


pieces = st.sampled_from(
    [
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ".",
        ":",
        ";",
        "+",
        "-",
        "*",
        "**",
        "/",
        "//",
        "%",
        "<",
        ">",
        "==",
        "=",
        ":=",
        "for",
        "in",
        "if",
        "not",
        "and",
        "or",
        "lambda",
        "i",
        "x",
        "np",
        "range",
        "list",
        "linspace",
        "logspace",
        "arange",
        "geomspace",
        "num",
        "base",
        "0",
        "1",
        "9",
        "1e308",
        "1j",
        "'a'",
        "f'{x}'",
        "None",
        "True",
        "__class__",
        "eval",
        "\\",
        "#",
        "$",
        "\n",
    ]
)


@given(st.one_of(st.text(), st.lists(pieces, max_size=25).map(" ".join), st.lists(pieces, max_size=25).map("".join)))
def test_no_text_does_anything_but_give_a_list_or_none_or_a_valueerror(text: str) -> None:
    try:
        value = evaluate_list(text)
    except ValueError:
        return
    assert value is None or isinstance(value, list)


numbers = st.one_of(st.integers(0, 99), st.sampled_from(["1e-3", "0.5", "2.0"])).map(str)
arithmetic = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
        st.builds("({})**{}".format, inner, st.sampled_from(["0", "1", "2", "-1"])),
        inner.map("-{}".format),
    ),
    max_leaves=6,
)


@given(st.lists(arithmetic, min_size=1, max_size=4))
def test_arithmetic_is_that_of_python(expressions: list[str]) -> None:
    text = f"[{', '.join(expressions)}]"
    try:
        expected = eval(text)  # our own text: digits and operators
    except ZeroDivisionError:
        expected = None
    try:
        assert evaluate_list(text) == expected
    except ValueError:
        # nothing but a division by zero, or a number beyond the limits, is refused
        assert expected is None or _beyond_limits(expressions)


def _beyond_limits(expressions: list[str]) -> bool:
    """Whether some number on the way is a whole one at or above the limit."""
    for expression in expressions:
        for node in ast.walk(ast.parse(expression, mode="eval").body):
            value = eval(ast.unparse(node)) if isinstance(node, ast.expr) else 0
            if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= MAX_INT):
                return True
    return False
