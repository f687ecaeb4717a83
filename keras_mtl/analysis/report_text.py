"""A sharing report as text: a table of tasks, then facts about all of them."""

import math
import textwrap
from collections.abc import Iterator
from typing import Any


def report_text(report: Any) -> str:
    """Returns a `SharingReport` as aligned lines."""
    return "\n".join([*table(_rows(report)), "", *_facts(report)])


def _rows(report: Any) -> Iterator[Any]:
    total = len(report.component_names)
    marked = {*report.empty, *report.kept_below_half}
    yield "task", "parameters", "FLOPs", "components", "shared"
    for task in report.tasks:
        share = report.shared[task]
        yield (
            task,
            f"{report.parameters[task]:,}",
            f"{report.flops[task]:,}",
            f"{report.components[task]} / {total}{_mark(task, marked)}" if total else "-",
            "-" if math.isnan(share) else f"{share:.0%}",
        )


def _mark(task: Any, marked: Any) -> Any:
    return ("*" if task in marked else " ") if marked else ""


def table(rows: Any) -> Iterator[Any]:
    """Yields lines whose first column is aligned left and the others right."""
    rows = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    for row in rows:
        yield "  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)])
        if row is rows[0]:
            yield "-" * (first + sum(others) + 2 * len(others))


def _facts(report: Any) -> Iterator[Any]:
    trained, kept = report.trained_parameters, report.kept_parameters
    yield f"Parameters: {trained:,} trained, {kept:,} kept when frozen ({kept / trained:.1%})"
    if report.component_names:
        counts = enumerate(report.components_by_num_tasks)
        by_num_tasks = ", ".join(f"{count} by {tasks}" for tasks, count in counts if count)
        yield f"Components by number of tasks: {by_num_tasks}"
        yield _wrapped(f"Unused components: {', '.join(report.unused) or 'none'}")
        yield f"Distinct embeddings: {report.distinct_embeddings} of {len(report.tasks)} tasks"
        if len(report.tasks) > 1:
            yield f"Mean overlap of two tasks: {report.overlap:.0%}"
    if report.empty:
        yield _wrapped(f"* Sees zeros, without a component in a layer: {_places(report.empty)}")
    if report.kept_below_half:
        places = _places(report.kept_below_half)
        yield _wrapped(f"* Has components by min_components only: {places}")
    if report.not_counted:
        yield _wrapped(f"FLOPs not counted: {', '.join(report.not_counted)}")


def _places(layers_by_task: Any) -> str:
    return ", ".join(f"{task} ({', '.join(names)})" for task, names in layers_by_task.items())


def _wrapped(text: Any) -> Any:
    return textwrap.fill(text, 88, subsequent_indent="    ", break_long_words=False)
