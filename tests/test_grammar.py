"""The small languages inside config values."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from src import grammar
from src.grammar import Bound, parse_averaging, parse_betas, parse_split, parse_splits_map, split_source
from src.schedules import parse_schedule

names = st.sampled_from(["train", "test", "validation_matched", "train-a", "2020"])
NUMBERS = {
    "": st.integers(-1200, 1200),
    "%": st.one_of(st.integers(-100, 100), st.floats(-100, 100).map(lambda value: round(value, 2))),
    "shard": st.integers(-6, 6),
}


@st.composite
def selectors(draw: st.DrawFn) -> str:
    """What may stand between the brackets in tensorflow-datasets: from:to with or without units, or one shard."""
    unit = draw(st.sampled_from(list(NUMBERS)))
    if unit == "shard" and draw(st.booleans()):
        return f"{draw(NUMBERS[unit])}shard"
    ends = [draw(st.one_of(st.just(""), NUMBERS[unit].map(str))) for _ in "ab"]
    assume(any(ends))
    bare = draw(st.sampled_from([0, 1, 2]))  # which of two ends goes without its unit
    return ":".join(end and end + unit * (not all(ends) or bare != place) for place, end in enumerate(ends))


@given(split=names, selector=selectors())
def test_a_split_expression_written_is_read_as_itself(split: str, selector: str) -> None:
    read = parse_split(f"{split}[{selector}]+{split}")
    assert parse_split("+".join(map(str, read))) == read


@given(
    expressions=st.lists(st.tuples(st.sampled_from(["train", "test"]), selectors()), min_size=1, max_size=3),
    shards=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    spaces=st.sampled_from(["", " "]),
)
def test_slices_are_those_of_tensorflow_datasets(
    expressions: list[tuple[str, str]], shards: list[int], spaces: str
) -> None:
    from tensorflow_datasets.core.splits import ReadInstruction, SplitInfo

    infos = {name: SplitInfo(name=name, shard_lengths=shards, num_bytes=0) for name in ("train", "test")}
    n = sum(shards)
    text = f"{spaces}+{spaces}".join(f"{name}[{selector}]" for name, selector in expressions)
    ours = parse_split(text)

    theirs = ReadInstruction.from_spec(text)
    try:
        slices = [(one.splitname, one.from_ or 0, n if one.to is None else one.to) for one in theirs.to_absolute(infos)]
    except ValueError:  # beyond the data
        with pytest.raises(ValueError, match="split 't"):
            [part.range(n, shards) for part in ours]
        return
    for (split, start, stop), part in zip(slices, ours, strict=True):
        assert split == part.split
        if any(bound and says_more_than_tfds(bound, n, shards) for bound in (part.start, part.stop)):
            continue
        if start >= stop:
            with pytest.raises(ValueError, match="split 't"):
                part.range(n, shards)
        else:
            assert part.range(n, shards) == range(start, stop)


def says_more_than_tfds(bound: Bound, n: int, shards: list[int]) -> bool:
    """Where tensorflow-datasets is silent or surprising: shards that are not there are left out, `:0shard` is
    everything, and a negative percentage that is rounded to 0 examples loses its sign."""
    if bound.unit == "shard":
        return abs(bound.value) > len(shards) or bound.value == 0
    return bound.unit == "%" and bound.value < 0 and round(bound.value * n / 100) == 0


@given(st.integers(1, 10**6), st.integers(1, 99))
def test_two_parts_at_a_percentage_are_the_whole(n: int, percent: int) -> None:
    first, second = parse_split(f"train[:{percent}%]+train[{percent}%:]")
    taken = []
    for part in (first, second):
        try:
            taken.extend([part.range(n).start, part.range(n).stop])
        except ValueError:  # with few examples one part may be empty, and says so
            assert n < 100
            return
    assert taken == [0, taken[1], taken[1], n]


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("train", 7, range(0, 7)),
        ("train[:80%]", 1797, range(0, 1438)),
        ("train[80%:]", 1797, range(1438, 1797)),
        ("train[10:20]", 100, range(10, 20)),
        ("train[-10%:]", 50, range(45, 50)),
        ("train[:-5]", 50, range(0, 45)),
        ("train[1_000:]", 2000, range(1000, 2000)),
        (" train [ 10 : 50% ] ", 50, range(5, 25)),
        ("train[:33%](pct1_dropremainder)", 1797, range(0, 33 * 17)),
        ("train[:-1%]", 10, range(0, 10)),  # 1% of 10 is rounded to none, from the end
        ("train[99%:100%](pct1_dropremainder)", 1797, range(99 * 17, 1700)),
        ("train[:33.4%](closest)", 1000, range(0, 334)),
    ],
)
def test_slices_are_positions_in_a_split(text: str, n: int, expected: range) -> None:
    (part,) = parse_split(text)
    assert part.range(n) == expected


@pytest.mark.parametrize(
    "text",
    ["", "train[", "train[80%]", "train[7]", "train[:120%]", "train++test", "train[a:b]", "train;rm", "+", "all[:50%]"]
    + ["train[1%:2shard]", "train[:1.5]", "train[:1.2.3%]", "train[1:2:3]", "train[:5%](up)"]
    + ["train[:0.5%](pct1_dropremainder)", f"train[:{'9' * 5000}]", f"train[:{'9' * 5000}%]", "train[.shard]"],
)
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="split"):
        parse_split(text)


@pytest.mark.parametrize("text", ["train[5:5]", "train[:2000]", "train[50%:10%]", "train[-200:]", "train[-0.1%:]"])
def test_an_empty_slice_and_one_beyond_the_data_are_refused(text: str) -> None:
    (part,) = parse_split(text)
    with pytest.raises(ValueError, match="'train' has 100 examples"):
        part.range(100)


def test_shards_need_data_that_are_stored_in_such_files() -> None:
    (part,) = parse_split("train[1shard]")
    assert part.range(30, [10, 15, 5]) == range(10, 25)
    with pytest.raises(ValueError, match="not stored in shards"):
        part.range(30)
    for shards in ([30], [29, 1]):
        with pytest.raises(ValueError, match=f"the split has {len(shards)}"):
            parse_split("train[2shard]")[0].range(30, shards)


def test_a_split_may_be_of_another_data_set() -> None:
    assert split_source("test[:50%]") == (None, "test[:50%]")
    assert split_source("tfds/mnist_corrupted/fog:1.0.0::test+train") == (
        "tfds/mnist_corrupted/fog:1.0.0",
        "test+train",
    )
    assert split_source("python/my_data:Moons::test") == ("python/my_data:Moons", "test")
    assert parse_splits_map({"train": "train", "shifted": "tfds/other::test[:5]"})
    assert "another data set" in grammar.problem(parse_splits_map, {"train": "tfds/other::train"})
    assert "split" in grammar.problem(parse_splits_map, {"train": "train", "test": "tfds/other::"})


@pytest.mark.parametrize("text", ["{'train': 'train'}", "dict(train='train')", '{"train": "train"}'])
def test_splits_may_be_the_text_of_a_dictionary(text: str) -> None:
    assert parse_splits_map(text) == {"train": "train"}


@pytest.mark.parametrize(
    "value",
    [
        "dict(train=open('x'))",
        "dict([('train', 'train')])",
        "__import__('os').system('touch hacked')",
        "{'train': (lambda: 1)()}",
        "[" * 10_000,
        "dict(**{'train': 'train'})",
        {"test": "test"},
        {"train": 3},
        {"a/b": "train", "train": "train"},
        {},
        7,
    ],
)
def test_any_other_value_of_the_splits_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"data_splits_map|split"):
        parse_splits_map(value)


def test_momentum_is_one_number_or_two_betas() -> None:
    assert (
        parse_betas(0) == (0.0, None) and parse_betas("0.9") == (0.9, None) and parse_betas("0.9,0.99") == (0.9, 0.99)
    )
    for wrong in ("fast", "0.9,0.99,0.999", 1.0, -0.1, True, None, [0.9]):
        assert grammar.problem(parse_betas, wrong)


def test_a_text_that_is_no_schedule_is_refused() -> None:
    for wrong in (
        "poly_",
        "step_30",
        "step_0_0.1",
        "step_1,2",
        "step_0,0_0.1",
        "linear_2",
        "decay",
        "decay_-1",
        "every_0_0.1",
    ):
        assert "lr_schedule" in grammar.problem(parse_schedule, wrong)
    for wrong in ("every_1.5_0.1", "every_1,2_0.1", "at_60,30_0.1", "at_0_0.1", "at_2", "Cosine", "cosine_1", ""):
        assert "lr_schedule" in grammar.problem(parse_schedule, wrong)


def test_averages() -> None:
    assert parse_averaging("poly_8") == ("poly", 8.0) and parse_averaging("ema_0.999") == ("ema", 0.999)
    for wrong in ("poly", "ema_1", "ema_1.5", "poly_-1", "mean", ""):
        assert "averaging" in grammar.problem(parse_averaging, wrong)


@pytest.mark.parametrize("text", ["test[::2]", "train[0:100:5]", "train[:50%:2]"])
def test_a_slice_with_a_step_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match="a slice has no step; write"):
        parse_split(text)
