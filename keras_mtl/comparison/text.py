"""Comparisons as tables in Markdown."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from keras_mtl.analysis.scores.paired import mean_interval

_FORMS = {"parameters": ",.0f", "flops": ",.0f", "seconds": ".1f", "milliseconds": ".2f"}
COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs",
    "seconds": "training, s",
    "milliseconds": "served, ms",
}


def comparison_text(comparison: Any) -> str:
    """Returns a `Comparison` as a table, a row for each method, and what must be known of it."""
    tasks, metrics = comparison.tasks, comparison.metrics
    heads = ["method", *(f"{task} {metrics[task]}" for task in tasks), "Delta, %"]
    rows = [
        [
            method,
            *(_mean(comparison.scores(method, task)) for task in tasks),
            _number(comparison.delta(method), "+.2f"),
            *(_number(comparison.costs(method, name), form) for name, form in _FORMS.items()),
        ]
        for method in comparison.methods
    ]
    rows += [[method, *["-"] * (len(heads) - 1 + len(_FORMS))] for method in comparison.not_built]
    seeds = len(next(iter(comparison.runs.values())))
    notes = [
        f"Mean of {seeds} seed{'s' * (seeds > 1)}"
        + (" ± half of the 95 % confidence interval." if seeds > 1 else "."),
        "Delta: mean gain over single task. Served: a batch.",
        *(f"{method} was not built: {why}" for method, why in comparison.not_built.items()),
    ]
    return "\n".join([*_markdown([*heads, *COSTS.values()], rows), "", *notes])


def transfer_text(transfers: Sequence[Any]) -> str:
    """Returns a list of `Transfer` as a table."""
    rows = [
        [
            one.method,
            one.task,
            f"{one.difference:+.4f}",
            _number(one.p, ".3f"),
            _number(one.corrected_p, ".3f"),
            "loses" if one.loses else "gains" if one.gains else "",
        ]
        for one in transfers
    ]
    heads = ["method", "task", "gain", "p", "corrected p", ""]
    return "\n".join(_markdown(heads, rows))


def _mean(values: Any) -> str:
    mean, half = mean_interval(values)
    return f"{mean:.4f}" + ("" if math.isnan(half) else f" ± {half:.4f}")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
