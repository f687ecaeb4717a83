"""Plots of executed blocks: how often each is, and how many an example takes."""

from typing import Any

import numpy as np

from keras_mtl.plots.axes import add_colorbar, given_or_new, show_matrix, write_values
from keras_mtl.plots.given import by_task

_MADE_BY = "keras_mtl.analysis.executed_blocks(model, x)"


def plot_gate_rates(executed: Any, ax: Any = None, labels: Any = None) -> Any:
    """Draws how often each task executes each block: tasks down, blocks across.

    Source: Rahimian et al., "DynaShare: Dynamic Neural Networks for Multi-Task Learning", ICLR
    2022 submission, which compares how often gates are open. Rows for the classes of a task are
    in Veit and Belongie, "Convolutional Networks with Adaptive Inference Graphs", ECCV 2018.

    Args:
        executed: What `keras_mtl.analysis.executed_blocks` returns.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.
        labels: Dict, name of a task -> a label for each of its examples, `(examples,)`: the
            task then has a row for each label, such as its classes, or bins of its scores.
            Examples without a label, NaN or -1, are left out. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No task; labels of an unknown task, of another number of examples, or none.

    Example:

    >>> import numpy as np
    >>> executed = {"a": np.array([[1, 0], [1, 1.0]]), "b": np.array([[1, 1], [0, 1.0]])}
    >>> ax = plot_gate_rates(executed, labels={"b": [0, 1]})
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['a', 'b: 0', 'b: 1']
    >>> [text.get_text() for text in ax.texts]
    ['1.00', '0.50', '1.00', '1.00', '0.00', '1.00']
    """
    executed = by_task("plot_gate_rates", executed, _MADE_BY)
    rows = _rows(executed, {} if labels is None else labels)
    matrix = np.array(list(rows.values()))
    num_rows, num_blocks = matrix.shape
    ax = given_or_new(ax, 3 + 0.5 * num_blocks, 1.5 + 0.3 * num_rows)
    image = show_matrix(ax, matrix, list(rows))
    ax.set_aspect("auto")
    write_values(ax, image)
    ax.set_xticks(range(num_blocks), range(1, num_blocks + 1))
    ax.set_xlabel("block")
    add_colorbar(ax, image, "execution rate")
    return ax


def _rows(executed: Any, labels: Any) -> Any:
    """Returns a dict, name of a row -> how often its examples execute each block."""
    unknown = [task for task in labels if task not in executed]
    if unknown:
        raise ValueError(
            f"labels has an entry {unknown[0]!r}, which is no task of executed. "
            f"Tasks: {', '.join(executed)}"
        )
    rows = {}
    for task, shares in executed.items():
        if task not in labels:
            rows[task] = shares.mean(axis=0)
            continue
        y = np.asarray(labels[task])
        if y.shape != shares.shape[:1]:
            raise ValueError(
                f"labels[{task!r}] must be a label for each of {len(shares)} examples, shape "
                f"({len(shares)},). Received: {y.shape}"
            )
        known = np.unique(y[~(np.isnan(y) | (y == -1))])
        if not len(known):
            raise ValueError(f"No example of task {task!r} has a label in labels[{task!r}].")
        rows |= {f"{task}: {label:g}": shares[y == label].mean(axis=0) for label in known}
    return rows


def plot_executed_blocks(executed: Any, ax: Any = None) -> Any:
    """Draws how many blocks examples execute: the share of a task's examples, for each number.

    Source: Veit and Belongie, "Convolutional Networks with Adaptive Inference Graphs", ECCV
    2018, which draws how many layers images execute.

    Args:
        executed: As for `plot_gate_rates`. Where gates decide at every step, the number is the
            mean over the steps of an example, rounded.
        ax: As for `plot_gate_rates`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No task.

    Example:

    >>> import numpy as np
    >>> ax = plot_executed_blocks({"a": np.array([[1, 0], [1, 1.0], [0, 1], [0, 1]])})
    >>> [float(bar.get_height()) for bar in ax.patches]  # no block, one, both
    [0.0, 0.75, 0.25]
    """
    executed = by_task("plot_executed_blocks", executed, _MADE_BY)
    num_blocks = max(shares.shape[1] for shares in executed.values())
    numbers, width = np.arange(num_blocks + 1), 0.8 / len(executed)
    ax = given_or_new(ax, 3 + 0.12 * len(numbers) * len(executed), 3)
    for index, (task, shares) in enumerate(executed.items()):
        counts, _ = np.histogram(shares.sum(axis=1), bins=np.arange(num_blocks + 2) - 0.5)
        positions = numbers - 0.4 + (index + 0.5) * width
        ax.bar(positions, counts / len(shares), width=width, label=task)
    ax.set_xticks(numbers, numbers)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xlabel("blocks executed")
    ax.set_ylabel("share of examples")
    ax.legend()
    return ax
