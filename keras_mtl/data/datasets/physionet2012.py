"""First two days of intensive care stays: the PhysioNet Challenge of 2012."""

import csv
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.data.datasets.icu_stays import ICUStays, forward_fill

NUM_HOURS = 48
UNITS = ("coronary", "surgical cardiac", "medical", "surgical")  # ICUType 1 to 4
# fmt: off
MEASURED = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP",
    "FiO2", "GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "Mg", "NIDiasABP",
    "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2", "SysABP", "Temp",
    "TroponinI", "TroponinT", "Urine", "WBC", "Weight", "pH", "MechVent",
)
# What lies outside is a slip of the pen or a loose sensor; others must not be negative.
PLAUSIBLE = {
    "DiasABP": (10, 200), "NIDiasABP": (10, 200), "MAP": (15, 250), "NIMAP": (15, 250),
    "SysABP": (20, 300), "NISysABP": (20, 300), "HR": (10, 300), "RespRate": (1, 80),
    "Temp": (25, 45), "pH": (6.5, 8), "PaCO2": (5, 200), "PaO2": (10, 700), "SaO2": (20, 100),
    "K": (1, 15), "Mg": (0.1, 12), "WBC": (0, 500), "Urine": (0, 5000), "Weight": (20, 350),
    "Height": (100, 230),
}
# fmt: on
_OUTCOMES = ("In-hospital_death", "Survival", "Length_of_stay", "SOFA", "SAPS-I")
_PLACES = {
    name: index for index, name in enumerate((*MEASURED, "Age", "Gender", "Height", "ICUType"))
}
_KNOWN = ("Age", "Gender", "Height", *(f"ICUType->{unit}" for unit in UNITS))  # at admission
_COLUMNS = (*MEASURED[:-1], *(f"mask->{name}" for name in MEASURED), *_KNOWN)


def load_physionet2012(folder: Any, part: str = "a") -> Any:
    """Loads the intensive care stays of one part of the PhysioNet Challenge 2012.

    Of each stay the first 48 hours: the mean of each of 37 variables in each hour, kept until
    the next hour that has one. Values outside plausible limits (`PLAUSIBLE`, chosen here)
    count as not measured. Mechanical ventilation is a mask only, since the files tell only
    when it was on. The columns of `x` are 36 quantities, 37 masks, and age, gender (1: male),
    height and a one-hot unit of admission, repeated in every hour. The channels are the 37
    variables, then all that is known at admission. A stay without a time series (three of
    part a, seven of b) is kept with what is known at admission.

    Source: Silva et al., "Predicting In-Hospital Mortality of ICU Patients: The
    PhysioNet/Computing in Cardiology Challenge 2012", Computing in Cardiology 39, 2012; data at
    https://physionet.org/content/challenge-2012/1.0.0/.

    Args:
        folder: Folder of `set-a.tar.gz`, or of it unpacked, and `Outcomes-a.txt`.
        part: `"a"`, `"b"` or `"c"`. Defaults to `"a"`.

    Returns:
        `ICUStays` in the order of the outcomes, with the labels

        - `mortality`: 1 for a death in hospital, else 0.
        - `survival`: 1 when no death is recorded in the year after admission, else 0. Only of
          those who left hospital alive, NaN of the others: `mortality` tells of these.
        - `length_of_stay`: days in hospital, NaN when not recorded.
        - `sofa`, `saps`: the scores SOFA and SAPS-I, NaN when not recorded.

    Raises:
        ValueError: A missing file, a stay without a record, an unknown variable.

    Example:

    >>> Path("set-a").mkdir()
    >>> _ = Path("Outcomes-a.txt").write_text(
    ...     "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\\n7,-1,2,9,90,0\\n"
    ... )
    >>> _ = Path("set-a/7.txt").write_text(
    ...     "Time,Parameter,Value\\n00:00,Age,54\\n01:07,HR,70\\n01:37,HR,74\\n"
    ... )
    >>> stays = load_physionet2012(".")
    >>> stays.x.shape
    (1, 48, 80)
    >>> stays.x[0, :4, stays.columns.index("HR")].tolist()
    [nan, 72.0, 72.0, 72.0]
    >>> stays.x[0, :4, stays.columns.index("mask->HR")].tolist()
    [0.0, 1.0, 0.0, 0.0]
    >>> {name: float(label[0]) for name, label in stays.labels.items()}
    {'mortality': 0.0, 'survival': 0.0, 'length_of_stay': 9.0, 'sofa': 2.0, 'saps': nan}
    """
    checks.word("part", part, ("a", "b", "c"))
    ids, labels = _read_outcomes(Path(folder) / f"Outcomes-{part}.txt")
    records = dict(_read_records(Path(folder) / f"set-{part}"))
    if missing := [name for name in ids if name not in records]:
        raise ValueError(
            f"{len(missing)} of {len(ids)} stays with an outcome have no record, the first is "
            f"{missing[0]}.txt. Outcomes and records must be of the same part."
        )
    values = _hourly_means(records, ids)
    return ICUStays(
        x=_columns_of(values),
        lengths=np.full(len(ids), NUM_HOURS, "int32"),
        labels=labels,
        ids=ids,
        columns=list(_COLUMNS),
        channels=[
            [index for index, column in enumerate(_COLUMNS) if column in (name, f"mask->{name}")]
            for name in MEASURED
        ]
        + [list(range(len(_COLUMNS) - len(_KNOWN), len(_COLUMNS)))],
        scaled=[index for index, column in enumerate(_COLUMNS) if "->" not in column],
    )


def _read_outcomes(path: Any) -> tuple[Any, Any]:
    if not path.is_file():
        raise ValueError(f"There is no {path}. Give the folder that holds {path.name}.")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    outcome = {column: np.array([row[column] for row in rows], "float32") for column in _OUTCOMES}
    death, days, *others = outcome.values()
    survival = np.where((days == -1) | (days > 365), 1, 0)
    unasked = (death == 1) | (days < -1)  # -1: no death is recorded; less: a slip of the pen
    labels = {"mortality": death, "survival": np.where(unasked, np.nan, survival)}
    for name, values in zip(("length_of_stay", "sofa", "saps"), others, strict=True):
        labels[name] = np.where(values == -1, np.nan, values)
    labels = {name: values.astype("float32") for name, values in labels.items()}
    return [row["RecordID"] for row in rows], labels


def _read_records(folder: Any) -> Iterator[Any]:
    """Yields the id and the text of every record, from a folder or from the tar file of it."""
    archive = folder.with_name(f"{folder.name}.tar.gz")
    if folder.is_dir():
        for path in folder.glob("*.txt"):
            yield path.stem, path.read_text()
    elif archive.is_file():
        with tarfile.open(archive) as members:
            for member in members:
                if member.name.endswith(".txt"):
                    content: Any = members.extractfile(member)
                    yield Path(member.name).stem, content.read().decode()
    else:
        raise ValueError(f"There is neither {archive} nor the folder {folder}.")


def _hourly_means(records: Any, ids: Any) -> Any:
    """Returns `(stays, hours, variables)` means of the values in the hour, NaN without any."""
    cells, values = [], []
    for row, name in enumerate(ids):
        for hour, index, value in _read_values(name, records[name]):
            cells.append((row * NUM_HOURS + hour) * len(_PLACES) + index)
            values.append(value)
    shape = (len(ids), NUM_HOURS, len(_PLACES))
    count = np.bincount(cells, minlength=np.prod(shape))
    total = np.bincount(cells, values, minlength=np.prod(shape))
    means = np.full(len(count), np.nan, "float32")
    np.divide(total, count, out=means, where=count > 0, casting="same_kind")
    return means.reshape(shape)


def _read_values(name: str, record: Any) -> Iterator[Any]:
    """Yields hour, index of the variable and value of each plausible line of a record."""
    for line in record.splitlines()[1:]:
        time, variable, value = line.split(",")
        if variable == "RecordID":
            continue
        if variable not in _PLACES:
            raise ValueError(
                f"Unknown variable {variable!r} in {name}.txt, line {line!r}. Known: "
                f"{', '.join(_PLACES)}."
            )
        low, high = PLAUSIBLE.get(variable, (0, np.inf))
        if low <= float(value) <= high:
            hour = min(int(time[:2]), NUM_HOURS - 1)  # 48:00 ends the last hour
            yield hour, _PLACES[variable], float(value)


def _columns_of(values: Any) -> Any:
    masks = ~np.isnan(values[..., : len(MEASURED)])
    ends = [len(MEASURED) - 1, len(MEASURED), -1]  # ventilation stands between the two
    quantities, _, known, unit = np.split(forward_fill(values), ends, axis=-1)
    units = unit == np.arange(1, len(UNITS) + 1)
    return np.concatenate([quantities, masks, known, units], axis=-1).astype("float32")
