"""Income, marriage and education of people asked in 1994 and 1995: Census-Income (KDD)."""

import csv
import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# fmt: off
COLUMNS = (
    "age", "class of worker", "detailed industry recode", "detailed occupation recode",
    "education", "wage per hour", "enroll in edu inst last wk", "marital stat",
    "major industry code", "major occupation code", "race", "hispanic origin", "sex",
    "member of a labor union", "reason for unemployment", "full or part time employment stat",
    "capital gains", "capital losses", "dividends from stocks", "tax filer stat",
    "region of previous residence", "state of previous residence",
    "detailed household and family stat", "detailed household summary in household",
    "instance weight", "migration code-change in msa", "migration code-change in reg",
    "migration code-move within reg", "live in this house 1 year ago",
    "migration prev res in sunbelt", "num persons worked for employer",
    "family members under 18", "country of birth father", "country of birth mother",
    "country of birth self", "citizenship", "own business or self employed",
    "fill inc questionnaire for veteran's admin", "veterans benefits", "weeks worked in year",
    "year", "income",
)
QUANTITIES = (
    "age", "wage per hour", "capital gains", "capital losses", "dividends from stocks",
    "num persons worked for employer", "weeks worked in year",
)
# For each task its column, and which answers there are 1 and which 0.
TASKS = {
    "income": ("income", ("50000+.",), ("- 50000.",)),
    "never_married": (
        "marital stat",
        ("Never married",),
        ("Married-civilian spouse present", "Married-spouse absent", "Married-A F spouse present",
         "Separated", "Divorced", "Widowed"),
    ),
    "college": (
        "education",
        ("Some college but no degree", "Associates degree-occup /vocational",
         "Associates degree-academic program", "Bachelors degree(BA AB BS)",
         "Masters degree(MA MS MEng MEd MSW MBA)", "Prof school degree (MD DDS DVM LLB JD)",
         "Doctorate degree(PhD EdD)"),
        ("Children", "Less than 1st grade", "1st 2nd 3rd or 4th grade", "5th or 6th grade",
         "7th and 8th grade", "9th grade", "10th grade", "11th grade",
         "12th grade no diploma", "High school graduate"),
    ),
}
# fmt: on
_INPUTS = [
    name
    for name in COLUMNS
    if name not in ("instance weight", *(column for column, _, _ in TASKS.values()))
]


class CensusPart(NamedTuple):
    """People of the census: `x` `(people, columns)`, a dict of labels `y`, names of columns."""

    x: np.ndarray
    y: dict[str, np.ndarray]
    columns: list[str]


def load_census_income(folder: Any, validation_fraction: float = 0.1, seed: int | None = 0) -> Any:
    """Loads the Census-Income (KDD) data: three binary tasks about the same people.

    The tasks are `income` (above 50,000 dollars), `never_married` and `college` (some college
    or above: some without a degree, an associate's, bachelor's, master's, professional school
    or doctor's degree). The three columns that answer them are no inputs, nor is the instance
    weight, which says how many people a row stands for.

    The other 38 columns are inputs. Seven are quantities, scaled to mean 0 and standard
    deviation 1 of the train part, in all parts alike; a constant one is 0. The others are
    one-hot, among them the year and the codes of industry, occupation, own business and
    veterans' benefits. `?`, not known, is a category. The categories are those of the train
    file in the order of the alphabet, whatever the seed; one that only the test file has is
    all zeros.

    No input repeats a label, but several tell much of one, and stay as in the papers: the
    household and family status and the tax filer status tell of the marriage, the enrolment of
    last week of college, a low age of all three.

    Source: "Census-Income (KDD)", UCI Machine Learning Repository, given by Lane and Kohavi,
    https://archive.ics.uci.edu/dataset/117/census+income+kdd; the tasks of Ma et al., "Modeling
    Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018.
    Differs from the 482 inputs of the MMoEEx and DynaShare papers: there the instance weight is
    an input, the year, own business and veterans' benefits are numbers, the test file is scaled
    by itself and half of it is for validation, and `college` begins with a bachelor's degree.

    Args:
        folder: Folder of `census-income.data` and `census-income.test`, plain or `.gz`. Without
            the latter, `census-income.test.half-a`, a half of it, is the test part.
        validation_fraction: Which fraction of the train file is for validation, in [0, 1).
            Defaults to `0.1`.
        seed: Integer seed of the choice of these rows. Defaults to `0`.

    Returns:
        Three `CensusPart(x, y, columns)`, train, validation and test, people in the order of
        the files. `x` is float32, `y` a dict, task -> float32 of 0 and 1. The names of one-hot
        columns are like `"sex->Female"`.

    Raises:
        ValueError: A missing or empty file, a row that has not 42 columns, an unknown income,
            marital status or education, a fraction out of range.

    Example:

    >>> answers = dict.fromkeys(COLUMNS, "0") | {"education": "Children", "income": "- 50000."}
    >>> person = ", ".join((answers | {"marital stat": "Never married"}).values())
    >>> for name in ("census-income.data", "census-income.test"):
    ...     _ = Path(name).write_text(f"{person}\\n" * 4)
    >>> train, validation, test = load_census_income(".", validation_fraction=0.25)
    >>> train.x.shape, validation.x.shape, test.x.shape
    ((3, 38), (1, 38), (4, 38))
    >>> train.columns[:2], train.x[0, :2].tolist()  # ages are all the same
    (['age', 'class of worker->0'], [0.0, 1.0])
    >>> {task: label.tolist() for task, label in train.y.items()}
    {'income': [0.0, 0.0, 0.0], 'never_married': [1.0, 1.0, 1.0], 'college': [0.0, 0.0, 0.0]}
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction must be in [0, 1). Received: {validation_fraction}")
    people, labels = _read(_find(folder, "census-income.data"))
    test, test_labels = _read(_find(folder, "census-income.test", "census-income.test.half-a"))
    order = np.random.default_rng(seed).permutation(len(labels["income"]))
    held_out = round(validation_fraction * len(order))
    train_rows, validation_rows = np.sort(order[held_out:]), np.sort(order[:held_out])
    scales = {name: _scale(people[name], train_rows) for name in QUANTITIES}
    columns = _columns(people)
    return tuple(
        CensusPart(
            _encode(inputs, rows, scales, columns),
            {task: label[rows] for task, label in answered.items()},
            columns,
        )
        for inputs, answered, rows in (
            (people, labels, train_rows),
            (people, labels, validation_rows),
            (test, test_labels, np.arange(len(test_labels["income"]))),
        )
    )


def _find(folder: Any, *names: Any) -> Any:
    files = [Path(folder) / f"{name}{suffix}" for name in names for suffix in (".gz", "")]
    for file in files:
        if file.is_file():
            return file
    raise ValueError(
        f"There is none of {', '.join(file.name for file in files)} in {folder}. Give the folder "
        "of the unpacked Census-Income (KDD) archive."
    )


def _read(path: Any) -> tuple[Any, Any]:
    """Returns the inputs, name -> different answers and each row's index in them, and labels."""
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    if not rows:
        raise ValueError(f"There are no rows in {path}.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(COLUMNS):
            raise ValueError(
                f"A row must have {len(COLUMNS)} columns, separated by commas. Received "
                f"{len(row)} in row {number} of {path.name}: {', '.join(row)}"
            )
    answers = dict(zip(COLUMNS, map(_indexed, zip(*rows, strict=True)), strict=True))
    labels = {
        task: _label(path, column, *answers[column], ones, zeros)
        for task, (column, ones, zeros) in TASKS.items()
    }
    return {name: answers[name] for name in _INPUTS}, labels


def _indexed(column: Any) -> tuple[Any, Any]:
    indices: dict[Any, Any] = {}
    index = np.array([indices.setdefault(answer, len(indices)) for answer in column])
    return [answer.strip() for answer in indices], index


def _label(path: Any, column: Any, answers: Any, index: Any, ones: Any, zeros: Any) -> Any:
    if unknown := sorted(set(answers) - {*ones, *zeros}):
        raise ValueError(
            f"Unknown {column} {', '.join(map(repr, unknown))} in {path.name}. Known: "
            f"{', '.join(map(repr, [*ones, *zeros]))}"
        )
    return np.isin(answers, ones).astype("float32")[index]


def _scale(column: Any, rows: Any) -> tuple[Any, Any]:
    answers, index = column
    values = np.array(answers, float)[index[rows]]
    return values.mean(), values.std() if values.min() < values.max() else np.inf


def _columns(people: Any) -> Any:
    columns: list[Any] = []
    for name, (answers, _) in people.items():
        one_hot = [f"{name}->{answer}" for answer in sorted(set(answers))]
        columns += [name] if name in QUANTITIES else one_hot
    return columns


def _encode(people: Any, rows: Any, scales: Any, columns: Any) -> Any:
    x = np.zeros((len(rows), len(columns)), "float32")
    numbers = {column: number for number, column in enumerate(columns)}
    for name, (answers, index) in people.items():
        if name in QUANTITIES:
            mean, deviation = scales[name]
            x[:, numbers[name]] = (np.array(answers, float)[index[rows]] - mean) / deviation
        else:
            own = np.array([numbers.get(f"{name}->{answer}", -1) for answer in answers])
            own = own[index[rows]]
            x[own >= 0, own[own >= 0]] = 1  # -1: not in the train file
    return x
