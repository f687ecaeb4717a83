"""Tasks out of functional MRI: which region of the brain does a time series come from?"""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.tasks import as_tasks


def region_tasks(
    series: Any, groups: Any, test_participants: Any, *, num_components: int = 10, piece: int = 40
) -> tuple[Any, Any, Any]:
    """One task for each group of brain regions: tell by its time series which region it is.

    A series is cut in pieces of `piece` scans, and each piece is described by its first
    `num_components` principal components, so that an example has one step a piece. With 7 runs
    of 160 scans, one after another, that is 28 steps of 10 values. The components are found
    once, on the pieces of all regions of the training participants, those in no group too:
    groups that are given later get the same components.

    Scale and filter the series before: only the mean piece is subtracted here.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, experiments on
    task-based functional MRI. The label set is inferred from its figure. Differs from the
    paper: the components do not see the test participants, and no participant has examples in
    both parts, where the paper fits them on all pieces and draws its split at random.

    Args:
        series: Array `(participants, regions, scans)`, without NaN.
        groups: Dict, name of the task -> list of regions, as indices in `series`. The label is
            the index in this list. A region may be in several groups.
        test_participants: List of indices in `series`. All others are for training.
        num_components: Number of values at a step. Defaults to 10.
        piece: Number of scans that make a step. Every run must be a multiple of it, or a piece
            would hold the end of one run and the beginning of the next. Defaults to 40.

    Returns:
        `(tasks, train, test)`: a dict of classification tasks, and two dicts, name -> `(x, y)`
        with `x` of shape `(participants * regions of the group, steps, num_components)`.

    Raises:
        ValueError: Series of another rank, with NaN or with a rest after the last piece;
            participants or regions that `series` does not have or that are named twice; no
            participant left for training; a group of one region; too many components.

    Example:

    >>> series = np.random.default_rng(0).standard_normal((10, 5, 7 * 160))
    >>> groups = {"related": [0, 1, 2], "unrelated": [0, 3, 4]}
    >>> tasks, train, test = region_tasks(series, groups, test_participants=[8, 9])
    >>> x, y = test["related"]
    >>> x.shape, y
    ((6, 28, 10), array([0, 1, 2, 0, 1, 2], dtype=int32))
    >>> batches = keras_mtl.task_batches(tasks, train, batch_size=8, seed=0)

    Cross validation takes each part of the participants for testing once:

    >>> for fold in np.array_split(np.random.default_rng(0).permutation(10), 5):
    ...     tasks, train, test = region_tasks(series, groups, test_participants=fold)
    """
    series = np.asarray(series)
    checks.count("num_components", num_components)
    checks.count("piece", piece)
    _check_series(series, piece)
    num_participants, num_regions, num_scans = series.shape
    _check_groups(groups, num_regions)
    tasks = as_tasks({name: len(regions) for name, regions in groups.items()})
    _check_places("test_participants", test_participants, num_participants, "participants")
    held_out = np.isin(np.arange(num_participants), np.asarray(test_participants))
    if held_out.all():
        raise ValueError("test_participants names every participant: none is left for training.")
    pieces = series.reshape(num_participants, num_regions, num_scans // piece, piece)
    pieces = pieces.astype("float64")
    mean, components = _principal_components(pieces[~held_out].reshape(-1, piece), num_components)
    x = ((pieces - mean) @ components).astype("float32")

    def examples(part):
        return {
            name: (
                part[:, list(regions)].reshape(-1, *part.shape[2:]),
                np.tile(np.arange(len(regions), dtype="int32"), len(part)),
            )
            for name, regions in groups.items()
        }

    return tasks, examples(x[~held_out]), examples(x[held_out])


def _principal_components(rows: Any, num_components: int) -> tuple[Any, Any]:
    """Returns the mean of the rows, and the directions of largest variance as columns."""
    most = min(len(rows) - 1, rows.shape[1])
    if num_components > most:
        raise ValueError(
            f"{len(rows)} training pieces of {rows.shape[1]} scans have at most {most} principal "
            f"components. Received: num_components={num_components}"
        )
    mean = rows.mean(axis=0)
    components = np.linalg.svd(rows - mean, full_matrices=False)[2][:num_components]
    # The sign of a component is free. Fix it, or another machine may give the opposite values.
    largest = np.abs(components).argmax(axis=1)
    return mean, (components * np.sign(components[range(num_components), largest])[:, None]).T


def _check_series(series: Any, piece: Any) -> None:
    if series.ndim != 3 or series.dtype.kind not in "iuf" or not series.size:
        raise ValueError(
            "series must be an array of numbers of shape (participants, regions, scans). "
            f"Received shape {series.shape} and dtype {series.dtype}."
        )
    missing = np.argwhere(~np.isfinite(series))
    if len(missing):
        participant, region, scan = missing[0].tolist()
        raise ValueError(
            f"series has {len(missing)} values that are NaN or infinite, the first of participant "
            f"{participant}, region {region}, scan {scan}. Fill them in, or leave the "
            "participants out."
        )
    if series.shape[2] % piece:
        raise ValueError(
            f"{series.shape[2]} scans cannot be cut in pieces of {piece} without a rest. Leave "
            "scans out, or give piece= a length that divides every run."
        )


def _check_groups(groups: Any, num_regions: Any) -> None:
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(
            "groups must be a dict with at least one entry, name of the task -> list of regions. "
            f"Received: {groups!r}"
        )
    for name, regions in groups.items():
        _check_places(f'Group "{name}"', regions, num_regions, "regions")
        if len(regions) < 2:
            raise ValueError(
                f'Group "{name}" has one region, where at least two are needed to tell apart.'
            )


def _check_places(what: str, indices: Any, number: Any, of: Any) -> None:
    indices = list(indices)
    valid = all(isinstance(index, Integral) and 0 <= int(index) < number for index in indices)
    if not indices or not valid or len(set(indices)) < len(indices):
        raise ValueError(
            f"{what} must name {of} by their indices in series, integers from 0 to {number - 1}, "
            f"each once. Received: {indices}"
        )
