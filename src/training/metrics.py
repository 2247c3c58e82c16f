"""Metrics: figures over the samples of an epoch or of an evaluation.

They are summed up on the device, so that a step never waits for it. Whatever stores, prints, compares or draws
metrics asks `Metrics.modes` for their names and directions; none is known by name anywhere else.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from src import families, python_object

LOSS = "loss"


class Metric(Protocol):
    """What `metrics` in a config names."""

    name: str  # letters, digits and underscores: the end of its columns in stats.csv
    higher_is_better: bool

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in a batch: outputs (n, k), targets (n,) or, of mixed samples, the weights of their classes (n, k)."""

    def compute(self) -> float:
        """The figure over all samples since the last reset; waits for the device."""

    def reset(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed in the middle of an epoch needs, as numbers and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Mean:
    """The mean of values, one a sample."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.n_samples = 0
        self.total: Tensor | float = 0.0  # a float64 tensor: the sum of millions of float32 losses would lose digits

    def add(self, values: Tensor) -> None:
        self.n_samples += len(values)
        self.total += values.sum(dtype=torch.float64)

    def compute(self) -> float:
        return float(self.total) / self.n_samples

    def state_dict(self) -> dict[str, Any]:
        total = self.total.clone() if isinstance(self.total, Tensor) else self.total
        return {"n_samples": self.n_samples, "total": total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_samples, self.total = state["n_samples"], state["total"]


class MeanMetric(Mean):
    """A metric that is the mean of one value a sample. A subclass implements `values`, and may set the two attributes."""

    name = ""
    higher_is_better = True

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """outputs (n, k), targets as in Metric.update -> (n,)"""
        raise NotImplementedError

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.add(self.values(outputs, targets))


class _Function(MeanMetric):
    """A user's function (outputs, targets) -> (n,) as a metric."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.name = getattr(function, "__name__", "")
        self.higher_is_better = getattr(function, "higher_is_better", True)

    def values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.function(outputs, targets)


class Metrics:
    """The loss and the metrics of a run. They are updated, computed and reset together."""

    def __init__(self, metrics: Iterable[Metric] = ()) -> None:
        self.loss = Mean()
        self.metrics = {metric.name: metric for metric in metrics}

    @property
    def modes(self) -> dict[str, str]:
        """For each metric, the loss first, whether larger (`max`) or smaller (`min`) values are better."""
        return {LOSS: "min"} | {name: "max" if m.higher_is_better else "min" for name, m in self.metrics.items()}

    @property
    def n_samples(self) -> int:
        return self.loss.n_samples

    def update(self, losses: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Take in a batch: the loss of each sample (n,), and what `Metric.update` takes."""
        self.loss.add(losses.detach())
        outputs = outputs.detach()
        for metric in self.metrics.values():
            metric.update(outputs, targets)

    def compute(self) -> dict[str, float]:
        """The figure of each metric; waits for the device."""
        return {LOSS: self.loss.compute()} | {name: float(metric.compute()) for name, metric in self.metrics.items()}

    def reset(self) -> None:
        self.loss.reset()
        for metric in self.metrics.values():
            metric.reset()

    def state_dict(self) -> dict[str, Any]:
        return {LOSS: self.loss.state_dict()} | {name: m.state_dict() for name, m in self.metrics.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss.load_state_dict(state[LOSS])
        for name, metric in self.metrics.items():
            metric.load_state_dict(state[name])


def build_metrics(names: list[str] | None, n_classes: int | None) -> Metrics:
    """The metrics that the option `metrics` names, for data of so many classes (None: regression).

    Raises ValueError if one cannot be built, or does not go with the data.
    """
    if names is None:
        names = [] if n_classes is None else ["accuracy"]
    metrics: dict[str, Metric] = {}
    for text in names:
        family, name = families.find("metrics", text, families.METRICS)
        metric: Metric = family.load().build_metric(name, n_classes)
        if metric.name in (*metrics, LOSS, "time", "data_time"):
            raise ValueError(f"metrics: {text!r} would fill a second column {metric.name!r}; give it another name")
        metrics[metric.name] = metric
    return Metrics(metrics.values())


def build_metric(name: str, n_classes: int | None) -> Metric:
    """`python/<module>:<callable>`: a class, called with num_classes if it takes that, or a function of (outputs, targets)."""
    found = python_object.import_callable(name, "metrics")
    metric: Any = _Function(found)
    if inspect.isclass(found):
        takes = "num_classes" in inspect.signature(found).parameters
        metric = python_object.call(name, "metrics", **({"num_classes": n_classes} if takes else {}))
        metric.name = getattr(metric, "name", "") or found.__name__
    missing = [
        part for part in ("update", "compute", "reset", "state_dict", "load_state_dict") if not hasattr(metric, part)
    ]
    if missing:
        raise ValueError(f"metrics 'python/{name}' has no {', '.join(missing)}; see docs/extending.md, A metric")
    if not re.fullmatch(r"\w+", metric.name):
        raise ValueError(f"metrics 'python/{name}': its name {metric.name!r} must be letters, digits and underscores")
    return metric
