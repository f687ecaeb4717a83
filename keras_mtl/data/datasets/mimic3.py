"""Intensive care stays with four tasks, as the MIMIC-III benchmarks write them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.data.datasets.icu_stays import ICUStays, forward_fill
from keras_mtl.kinds import MISSING_CLASS

MORTALITY_HOUR = 48
LENGTH_OF_STAY_DAYS = (1, 2, 3, 4, 5, 6, 7, 8, 14)  # borders between the ten classes
# What stands before the first measurement; a category's values are one-hot.
NORMAL = {
    "Capillary refill rate": "0.0",
    "Diastolic blood pressure": 59.0,
    "Fraction inspired oxygen": 0.21,
    "Glascow coma scale eye opening": "4 Spontaneously",
    "Glascow coma scale motor response": "6 Obeys Commands",
    "Glascow coma scale total": "15",
    "Glascow coma scale verbal response": "5 Oriented",
    "Glucose": 128.0,
    "Heart Rate": 86.0,
    "Height": 170.0,
    "Mean blood pressure": 77.0,
    "Oxygen saturation": 98.0,
    "Respiratory rate": 19.0,
    "Systolic blood pressure": 118.0,
    "Temperature": 36.6,
    "Weight": 81.0,
    "pH": 7.4,
}
# fmt: off
CATEGORIES = {
    "Capillary refill rate": ("0.0", "1.0"),
    "Glascow coma scale eye opening": (
        "None", "1 No Response", "2 To pain", "To Pain", "3 To speech", "To Speech",
        "4 Spontaneously", "Spontaneously",
    ),
    "Glascow coma scale motor response": (
        "1 No Response", "No response", "2 Abnorm extensn", "Abnormal extension",
        "3 Abnorm flexion", "Abnormal Flexion", "4 Flex-withdraws", "Flex-withdraws",
        "5 Localizes Pain", "Localizes Pain", "6 Obeys Commands", "Obeys Commands",
    ),
    "Glascow coma scale total": tuple(map(str, range(3, 16))),
    "Glascow coma scale verbal response": (
        "1 No Response", "No Response", "No Response-ETT", "1.0 ET/Trach", "2 Incomp sounds",
        "Incomprehensible sounds", "3 Inapprop words", "Inappropriate Words", "4 Confused",
        "Confused", "5 Oriented", "Oriented",
    ),
}
# fmt: on
_LISTED = (
    "filename",
    "length of stay",
    "in-hospital mortality task (pos;mask;label)",
    "length of stay task (masks;labels)",
    "phenotyping task (labels)",
    "decompensation task (masks;labels)",
)
_VALUE_COLUMNS = [
    f"{name}->{value}" if value else name
    for name in NORMAL
    for value in CATEGORIES.get(name, ("",))
]
_COLUMNS = _VALUE_COLUMNS + [f"mask->{name}" for name in NORMAL]
_EPSILON = 1e-6  # hours; a measurement on the hour belongs to the hour that it ends


def read_mimic3_benchmark(folder: Any, listfile: Any = None, length: Any = None) -> Any:
    """Reads the stays of the multitask problem of the MIMIC-III benchmarks.

    That is a folder `multitask/train` or `multitask/test` which `create_multitask` of
    https://github.com/YerevaNN/mimic3-benchmarks wrote out of the licensed database. A stay's
    step `t` is its hour `t` to `t + 1`: the last value of each of 17 variables in that hour,
    else the value before, else a normal one. The 76 columns of `x` are 12 quantities and 47
    values of five categories, one-hot, then 17 masks; the channels are the variables. Steps
    after the end of a stay are padding: NaN in `x`, not labelled, and 0 after
    `standardize_stays`. What is asked at hour `t + 1` is labelled at step `t`. A patient may
    have several stays: the id is `<patient>_episode<number>`.

    Source: Harutyunyan et al., "Multitask learning and benchmarking with clinical time series
    data", Scientific Data 6, 2019, https://arxiv.org/abs/1703.07771.
    Differs from the authors' code: the columns of a category stand in their clinical order.

    Args:
        folder: Folder of the stays' files.
        listfile: File that lists the stays to read, such as `multitask/val_listfile.csv`.
            `None`: `listfile.csv` in the folder. Defaults to `None`.
        length: Number of steps, at least 48; longer stays are cut. `None`: as many as the
            longest stay has. Some last for months, so set it when reading all of them.
            Defaults to `None`.

    Returns:
        `ICUStays` in the order of the list, with the labels

        - `mortality`, `(stays,)`: 1 for a death in hospital, NaN for stays below 48 hours or
          unmeasured until then. It is asked at hour 48: a network that tells it from the last
          step must see no more than `x[:, :48]`.
        - `mortality_at_48`, `(stays, steps)`: the same, at step 47 of the stay.
        - `decompensation`, `(stays, steps)`: 1 when the patient dies within 24 hours.
        - `length_of_stay`, `(stays, steps)`: class of the remaining time: 0 is less than
          a day, 1 to 7 one more day each, 8 is 8 to 14 days, 9 is more.
        - `remaining_hours`, `(stays, steps)`: the remaining time itself.
        - `phenotypes`, `(stays, 25)`: 1 for each group of diagnoses that applies.

    Raises:
        ValueError: A missing list or file, columns or values that the benchmarks do not
            write.

    Example:

    ```python
    train = read_mimic3_benchmark("multitask/train", "multitask/train_listfile.csv", length=200)
    test = read_mimic3_benchmark("multitask/test", length=200)
    train, test = standardize_stays(train, test)
    tasks = {
        "mortality_at_48": keras_mtl.Task("binary", per_step=True),
        "decompensation": keras_mtl.Task("binary", per_step=True),
        "length_of_stay": keras_mtl.Task("tagging", 10),
        "phenotypes": keras_mtl.Task("multilabel", 25),
    }
    ```
    """
    folder = Path(folder)
    listfile = folder / "listfile.csv" if listfile is None else Path(listfile)
    rows = _read_list(listfile)
    hours = np.array([float(row["length of stay"]) for row in rows])
    lengths = (hours + 1 - _EPSILON).astype("int32")
    if length is None:
        length = max(MORTALITY_HOUR, *lengths)
    checks.count("length", length, MORTALITY_HOUR)
    lengths = np.minimum(lengths, length)
    x = np.full((len(rows), length, len(_COLUMNS)), np.nan, "float32")
    for stay, row, steps in zip(x, rows, lengths, strict=True):
        stay[:steps] = _read_stay(folder / row["filename"], listfile, steps)
    return ICUStays(
        x=x,
        lengths=lengths,
        labels=_labels(rows, length),
        ids=[row["filename"].removesuffix("_timeseries.csv") for row in rows],
        columns=list(_COLUMNS),
        channels=[
            [
                index
                for index, column in enumerate(_COLUMNS)
                if column.removeprefix("mask->").split("->")[0] == name
            ]
            for name in NORMAL
        ],
        scaled=[index for index, column in enumerate(_COLUMNS) if "->" not in column],
    )


def _read_list(path: Any) -> Any:
    if not path.is_file():
        raise ValueError(
            f"There is no {path}. Give the folder train or test that create_multitask of the "
            "MIMIC-III benchmarks wrote, or the list of its stays: listfile=..."
        )
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _LISTED:
            raise ValueError(
                f"{path} is not a list of the multitask problem, whose columns are "
                f"{', '.join(_LISTED)}. Received: {', '.join(reader.fieldnames or ())}."
            )
        return list(reader)


def _read_stay(path: Any, listfile: Any, steps: Any) -> Any:
    """Returns `(steps, columns)` of a stay's file."""
    if not path.is_file():
        raise ValueError(f"{listfile} lists {path.name}, but there is no {path}.")
    values = np.full((steps, len(NORMAL)), np.nan)
    with open(path, newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [""])
        if names[0] != "Hours" or sorted(names[1:]) != sorted(NORMAL):
            raise ValueError(
                f"The columns of {path} must be Hours, {', '.join(NORMAL)}. "
                f"Received: {', '.join(names)}."
            )
        indices = [list(NORMAL).index(name) for name in names[1:]]
        for time, *cells in reader:
            step = int(float(time) - _EPSILON)
            if step < steps:
                for index, name, cell in zip(indices, names[1:], cells, strict=True):
                    if cell:
                        values[step, index] = _number(name, cell, path)
    masks = ~np.isnan(values)
    values[0] = np.where(masks[0], values[0], [_number(*item) for item in NORMAL.items()])
    values = forward_fill(values)
    columns = [
        np.eye(len(CATEGORIES[name]))[column.astype(int)] if name in CATEGORIES else column[:, None]
        for name, column in zip(NORMAL, values.T, strict=True)
    ]
    return np.concatenate([*columns, masks], axis=1)


def _number(name: str, cell: Any, path: str = "") -> Any:
    """Returns a quantity, or the index of a category's value."""
    try:
        return CATEGORIES[name].index(cell) if name in CATEGORIES else float(cell)
    except ValueError:
        expected = ", ".join(CATEGORIES.get(name, ["a number"]))
        raise ValueError(f"{name!r} is {cell!r} in {path}. Expected: {expected}.") from None


def _labels(rows: Any, length: Any) -> dict[str, Any]:
    mortality = np.full(len(rows), np.nan)
    at_48, decompensation, remaining = np.full((3, len(rows), length), np.nan)
    for stay, row in enumerate(rows):
        _, _, dies, hours, _, decompensates = (row[name] for name in _LISTED)
        position, asked, label = map(int, dies.split(";"))
        if asked:
            mortality[stay] = at_48[stay, position] = label
        _write_steps(remaining[stay], hours)
        _write_steps(decompensation[stay], decompensates)
    days = np.digitize(remaining / 24, LENGTH_OF_STAY_DAYS)
    phenotypes = [row["phenotyping task (labels)"].split(";") for row in rows]
    return {
        "mortality": mortality.astype("float32"),
        "mortality_at_48": at_48.astype("float32"),
        "decompensation": decompensation.astype("float32"),
        "length_of_stay": np.where(np.isnan(remaining), MISSING_CLASS, days).astype("int32"),
        "remaining_hours": remaining.astype("float32"),
        "phenotypes": np.array(phenotypes, "float32"),
    }


def _write_steps(labels: Any, masks_labels: Any) -> None:
    """Writes the labels of hours 0, 1, ... where the mask says so; hour `t + 1` is step `t`."""
    numbers = np.array([number for number in masks_labels.split(";") if number], float)
    masks, values = numbers.reshape(2, -1)[:, 1 : len(labels) + 1]
    labels[: len(values)] = np.where(masks == 1, values, np.nan)
