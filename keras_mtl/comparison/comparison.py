"""The findings of a comparison: scores with intervals, gains and losses by sharing, costs."""

import dataclasses
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.analysis.scores.delta import task_delta
from keras_mtl.analysis.scores.paired import holm, paired_test
from keras_mtl.analysis.scores.pareto import pareto_front
from keras_mtl.comparison.directions import lower_is_better
from keras_mtl.comparison.methods import SINGLE
from keras_mtl.comparison.text import COSTS, comparison_text, transfer_text


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What a task gains by a method, against a network of its own.

    Attributes:
        method: Name of the method.
        task: Name of the task.
        difference: Mean over seeds of its score less that of the task's own network, negative
            where it is worse, also of errors.
        p: Two-sided p-value of a paired t-test over seeds, NaN of fewer than two.
        corrected_p: The same, corrected by Holm's method for all tests of the comparison.
    """

    method: str
    task: str
    difference: float
    p: float
    corrected_p: float

    @property
    def loses(self) -> bool:
        """Whether the task loses by sharing, and not by chance (corrected p below 0.05)."""
        return self.difference < 0 and self.corrected_p < 0.05

    @property
    def gains(self) -> bool:
        """Whether the task gains by sharing, and not by chance (corrected p below 0.05)."""
        return self.difference > 0 and self.corrected_p < 0.05


class Transfers(list):
    """A list of `Transfer` that prints as a table in Markdown."""

    def __str__(self) -> str:
        return transfer_text(self)

    __repr__ = __str__


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison:
    """The findings of `keras_mtl.compare`. Prints as a table in Markdown.

    Attributes:
        tasks: Names of the tasks.
        runs: Dict, name of a method -> list of its runs, dicts as they stand in the folder.
        not_built: Dict, name of a baseline -> why there is none.
    """

    tasks: tuple[str, ...]
    runs: dict[str, list[dict[str, Any]]]
    not_built: dict[str, str]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, baselines last."""
        return tuple(self.runs)

    @property
    def metrics(self) -> dict[str, str]:
        """Dict, task -> name of its metric, the first of those that there are."""
        (record, *_) = next(iter(self.runs.values()))
        return {task: next(iter(values)) for task, values in record["scores"].items()}

    def scores(self, method: str, task: str, metric: str | None = None) -> np.ndarray:
        """Returns a score of each seed; `metric` is the task's first unless it is given."""
        metric = metric or self.metrics[task]
        return np.array([run["scores"][task][metric] for run in self.runs[method]])

    def costs(self, method: str, name: str) -> float:
        """Returns the mean of `"parameters"`, `"flops"`, `"seconds"` or `"milliseconds"`."""
        return float(np.mean([run[name] for run in self.runs[method]]))

    def delta(self, method: str) -> float:
        """Returns by how many percent tasks do better than alone, the mean of all tasks.

        NaN where there is no single-task network, or one whose score is not above 0, to which
        nothing is relative.
        """
        if SINGLE not in self.runs:
            return float("nan")
        mean, single = (
            {t: float(self.scores(m, t).mean()) for t in self.tasks} for m in (method, SINGLE)
        )
        if min(single.values()) <= 0:
            return float("nan")
        lower = [task for task in self.tasks if lower_is_better(self.metrics[task])]
        return task_delta(mean, single, lower_is_better=lower).mean

    def pareto(self, cost: str = "flops") -> list[str]:
        """Returns the methods than which none is cheaper and better, the cheapest first.

        Better is a larger `delta`; without single-task networks to compare with, a larger mean
        of the scores of all tasks, which must then be of one kind. A sweep over budgets is a
        comparison whose methods are budgets:

            keras_mtl.compare(
                {f"{budget:.0%}": partial(keras_mtl.build_gumbel_matrix, budget=budget,
                                          budget_unit="flops") for budget in (0.25, 0.5, 0.75)},
                ...).pareto()

        Args:
            cost: `"parameters"`, `"flops"`, `"seconds"` or `"milliseconds"`. Defaults to
                `"flops"`.

        Raises:
            ValueError: An unknown cost, or scores that cannot be added up.
        """
        return pareto_front(*self._costs_and_scores(cost))

    def plot_costs(self, cost: str = "flops", ax: Any = None) -> Any:
        """Draws what each method costs and how good it is, as `keras_mtl.plots.plot_compute`.

        Args:
            cost: As for `pareto`. Defaults to `"flops"`.
            ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: As for `pareto`.
        """
        from keras_mtl.plots import plot_compute

        ax = plot_compute(*self._costs_and_scores(cost), ax, cost=COSTS[cost])
        ax.set_ylabel("Delta, %" if self._has_delta else "mean score")
        return ax

    @property
    def _has_delta(self) -> bool:
        return not any(np.isnan(self.delta(method)) for method in self.methods)

    def _costs_and_scores(self, cost: str) -> tuple[dict[str, float], dict[str, float]]:
        checks.word("cost", cost, tuple(COSTS))
        costs = {method: self.costs(method, cost) for method in self.methods}
        if self._has_delta:
            return costs, {method: self.delta(method) for method in self.methods}
        (metric, *others) = set(self.metrics.values())
        if others:
            raise ValueError(
                "The scores of tasks are of several kinds, which cannot be added up: "
                f"{', '.join(sorted([metric, *others]))}. With baselines=True methods are compared "
                f"with {SINGLE!r} instead."
            )
        sign = -1 if lower_is_better(metric) else 1
        return costs, {
            method: sign * float(np.mean([self.scores(method, task) for task in self.tasks]))
            for method in self.methods
        }

    def gains(self, method: str, task: str, baseline: str) -> np.ndarray:
        """Returns by how much a method is better than another, seed by seed."""
        gains = self.scores(method, task) - self.scores(baseline, task)
        return -gains if lower_is_better(self.metrics[task]) else gains

    def negative_transfer(self, baseline: str = SINGLE) -> Transfers:
        """Returns what each task gains or loses by each method, with its test.

        Args:
            baseline: Name of the method to compare with. Defaults to `"Single task"`, a network
                for each task.

        Raises:
            ValueError: There is no such method.
        """
        if baseline not in self.runs:
            raise ValueError(
                f"There are no runs of {baseline!r} to compare with. Methods: "
                f"{', '.join(self.methods)}. With baselines=True there are those of {SINGLE!r}."
            )
        pairs = [(m, task) for m in self.methods if m != baseline for task in self.tasks]
        gains = [self.gains(method, task, baseline) for method, task in pairs]
        several = len(self.runs[baseline]) > 1
        p_values = [
            paired_test(own, np.zeros(len(own))).p if several else float("nan") for own in gains
        ]
        return Transfers(
            Transfer(method, task, float(own.mean()), p, corrected)
            for (method, task), own, p, corrected in zip(
                pairs, gains, p_values, holm(p_values), strict=True
            )
        )

    def plot(self, ax: Any = None) -> Any:
        """Draws what each task gains by each method, as `keras_mtl.plots.plot_gains`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: There is no single-task baseline.
        """
        from keras_mtl.plots import plot_gains

        self.negative_transfer()  # raises without a baseline
        return plot_gains(
            {
                method: {task: self.gains(method, task, SINGLE) for task in self.tasks}
                for method in self.methods
                if method != SINGLE
            },
            ax,
        )

    def __str__(self) -> str:
        return comparison_text(self)

    __repr__ = __str__
