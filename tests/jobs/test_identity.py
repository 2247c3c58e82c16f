"""When two experiments are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from src import config
from src.jobs.identity import identity


def test_an_identity_is_a_promise() -> None:
    """It is stored in no file, but decides how jobs grow and which results are reused: it may not change."""
    assert identity({}) == "1:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert identity({"base_lr": 0.1, "seed_model": 3, "momentum": 0}) == (
        "1:275635f5964c9cf65b8eaa9baa6347a95fce4d689807e79cf029518a9c518a63"
    )


@given(st.sets(st.sampled_from(config.CHANGES_NUMBERS)), st.integers(0, 5))
def test_naming_defaults_or_writing_a_value_otherwise_changes_no_identity(named: set[str], seed: int) -> None:
    defaults = config.to_dict(config.Config())
    options = {"seed_model": seed, "data_splits_map": {"train": "train[:80%]", "test": "test"}}
    written = {key: defaults[key] for key in named if key not in options}
    same = {"seed_model": float(seed), "data_splits_map": "{'train': 'train[:80%]', 'test': 'test'}", "output_dir": "x"}
    assert identity(options) == identity(options | written) == identity(same | written)
    assert identity(options | {"seed_model": seed + 1}) != identity(options)
    assert identity(options | {"seed_model": None}) != identity(options)
