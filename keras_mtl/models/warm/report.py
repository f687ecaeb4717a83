"""The report of a warm start: what a network took over, and what it did not."""

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(eq=False, repr=False)
class WarmStart:
    """The findings of `warm_start`. Prints as a table.

    Attributes:
        tasks: Dict, task -> `"copied"`, `"new"` (also of one whose kind or size has changed) or
            `"left out"`.
        statistics: `"old"` or `"new"`: whose statistics `Normalization` has.
        copied: Dict, path of a variable -> number of entries, of those that are copied whole.
        grown: Dict, path -> `(number of entries that are copied, number of all)`.
        new: Dict, path -> why nothing was copied.
        left_out: Paths of variables of the trained network of which nothing was copied.
        values: Dict, what the encoder calls an embedding -> `(values known before, new values,
            values left out)`.
        by_index: Names of embeddings whose rows are copied by their index, as no encoder says what
            they stand for: those of bins, and all without `preprocessing`.
        different: Dict, name of a layer -> tasks that have other components there than before.
        optimizer: `"new"`: its state begins anew.
    """

    tasks: dict[str, str]
    statistics: str
    copied: dict[str, int] = dataclasses.field(default_factory=dict)
    grown: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    new: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    values: dict[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    by_index: tuple[str, ...] = ()
    different: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    optimizer: str = "new"

    def __str__(self) -> str:
        counts = [*self.copied.items(), *((path, part) for path, (part, _) in self.grown.items())]
        lines = [
            f"{len(self.copied)} variables copied, {len(self.grown)} grown, {len(self.new)} new"
        ]
        lines[0] += f": {sum(number for _, number in counts):,} numbers from before"
        for word in ("copied", "new", "left out"):
            lines += _listed(
                f"Tasks {word}", [t for t, state in self.tasks.items() if state == word]
            )
        lines += _table(self)
        lines += [
            f"{column}: {known:,} values known before, {new:,} new, {gone:,} left out"
            for column, (known, new, gone) in self.values.items()
        ]
        lines += _listed("Left out of the trained network", self.left_out)
        lines += _listed("Embeddings copied by index", self.by_index)
        places = [f"{task} ({layer})" for layer, tasks in self.different.items() for task in tasks]
        lines += _listed("Tasks given other components than before", places)
        lines.append(f"Statistics of Normalization: {self.statistics}")
        lines.append("State of the optimizer: new. Counters and temperatures: go on")
        return "\n".join(lines)

    __repr__ = __str__


def _table(report: WarmStart) -> Iterator[str]:
    """Yields a line for each variable that is not copied whole."""
    rows = [(path, f"grown: {part:,} of {of:,}") for path, (part, of) in report.grown.items()]
    rows += [(path, f"new: {why}") for path, why in report.new.items()]
    width = max((len(path) for path, _ in rows), default=0)
    for path, what in rows:
        yield f"  {path.ljust(width)}  {what}"


def _listed(title: str, names: Any) -> list[str]:
    text = f"{title}: {', '.join(names)}"
    wrapped = textwrap.fill(text, 88, subsequent_indent="    ", break_long_words=False)
    return [wrapped] if names else []
