"""Which columns of stats.csv say which epoch is best, and in which direction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from src import families
from src.config.options import Config


def judged_columns(config: Config, evaluations: Iterable[str], modes: Mapping[str, str]) -> tuple[list[str], str]:
    """The columns that best_checkpoint_metric names, and whether their largest value (`max`) or smallest (`min`) is best.

    evaluations: `<split>/<last|av>` of each; modes: the direction of each metric. The expression matches whole columns;
    where it matches none it is searched in them, in those of evaluations first. Raises ValueError.
    """
    pattern = re.compile(config.best_checkpoint_metric)
    evaluated = {f"{evaluation}/{metric}": metric for evaluation in evaluations for metric in modes}
    trained = {f"train/{metric}": metric for metric in modes if config.train_length}
    columns = trained | evaluated
    found = (
        [column for column in columns if pattern.fullmatch(column)]
        or [column for column in evaluated if pattern.search(column)]
        or [column for column in trained if pattern.search(column)]
    )
    what = f"best_checkpoint_metric {config.best_checkpoint_metric!r}"
    if not found:
        raise ValueError(f"{what} matches no metric in stats.csv; these are {', '.join(columns)}")
    metrics = dict.fromkeys(columns[column] for column in found)
    if len(metrics) > 1:
        raise ValueError(f"{what} matches {' and '.join(metrics)}; name one of them, as in {found[-1]}")
    return found, config.best_checkpoint_mode or modes[columns[found[0]]]


def check_judged(config: Config) -> Iterator[tuple[str, str]]:
    """What `judged_columns` will raise, as far as the config decides which columns there are."""
    try:
        re.compile(config.best_checkpoint_metric)
    except re.error as error:
        yield "best_checkpoint_metric", f"best_checkpoint_metric is not a regular expression: {error}"
        return
    is_needed = config.save_best_checkpoint or config.early_stopping_patience is not None
    if not is_needed or any(name.startswith("python/") for name in config.metrics or []):
        return  # the class of an own metric may set its name and its direction
    models = ["last"] * (config.evaluate != "av") + ["av"] * (
        config.averaging is not None and config.evaluate != "last"
    )
    splits = [name for name in config.data_splits_map if name != "train"] + ["val"] * (config.cv_folds is not None)
    evaluations = [f"{split}/{model}" for split in splits for model in models]
    possible = [["accuracy"] if config.metrics is None else config.metrics]
    if config.metrics is None and config.loss not in families.CROSS_ENTROPY:
        possible.append([])  # in regression
    messages = []
    for metrics in possible:
        try:
            judged_columns(config, evaluations, {"loss": "min"} | dict.fromkeys(metrics, "max"))
        except ValueError as error:
            messages.append(str(error))
    if models and len(messages) == len(possible):
        yield "best_checkpoint_metric", messages[0]
