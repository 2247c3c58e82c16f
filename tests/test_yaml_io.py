"""YAML files as data."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from src import yaml_io

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["1e-3", "yes", "null", "2024-01-01", "1_000", "0x10", "- a", "a: b", "'", "<<", "=", ".5e3"]),
)
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc1e-", min_size=1), inner, max_size=4),
)


@given(data)
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert yaml_io.parse(yaml_io.dump(value), "text").data == value


def test_exponents_are_numbers_and_dates_are_text() -> None:
    read = yaml_io.parse("[1e-3, -2E5, .5e+1, 3.e2, 1e, e3, 1-3, 2024-01-01]", "text").data
    assert read == [0.001, -200000.0, 5.0, 300.0, "1e", "e3", "1-3", "2024-01-01"]


def test_places_are_known() -> None:
    document = yaml_io.parse("a: 1\nb:\n  - c: 2\n    d: 3\n", "f.yaml")
    assert document.where("b", 0, "d") == "f.yaml:4"
    assert document.where("b", 0, "missing") == "f.yaml:3" and document.where("missing") == "f.yaml:1"


def test_every_key_set_twice_is_a_problem_and_a_merged_key_may_be_set_anew() -> None:
    document = yaml_io.parse("a: 1\na: 2\nb: {c: 1, c: 2}\nd: &d {e: 1}\nf: {<<: *d, e: 2}\n", "f")
    assert document.problems == [
        "f:2: 'a' is set twice; the first is on line 1",
        "f:3: 'c' is set twice; the first is on line 3",
    ]
    assert document.data["f"] == {"e": 2}


@given(st.text("0b_x:-+.e1 \n[]{}&*a'\"#|>!%@", max_size=30))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        yaml_io.parse(text, "f.yaml")
    except yaml_io.YamlError as error:
        assert str(error).startswith("f.yaml")


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    try:
        yaml_io.parse("\n".join(lines), "bomb.yaml")
    except yaml_io.YamlError as error:
        assert "bomb.yaml: more than" in str(error)
    else:
        raise AssertionError("ten billion values were read")
