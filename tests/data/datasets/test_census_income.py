import gzip
import pathlib

import numpy as np
import pytest

from keras_mtl.data import load_census_income
from keras_mtl.data.datasets.census_income import COLUMNS, QUANTITIES

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "census_income"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="the census is not here")

PERSON = (
    dict.fromkeys(COLUMNS, "Not in universe")
    | dict.fromkeys(QUANTITIES, "0")
    | {"education": "Children", "marital stat": "Never married", "income": "- 50000."}
    | {"instance weight": "1700.09", "race": "White", "sex": "Male", "year": "94"}
)
TRAIN = [
    {"age": "20", "sex": "Female", "race": "Black", "detailed industry recode": "4"},
    {"age": "40", "marital stat": "Divorced", "income": "50000+.", "weeks worked in year": "52"},
    {"age": "40", "education": "Bachelors degree(BA AB BS)", "detailed industry recode": "10"},
    {"age": "60", "education": "High school graduate", "marital stat": "Widowed", "year": "95"},
]
TEST = [
    {"age": "20", "citizenship": "?"},
    {"age": "80", "race": "Other", "education": "Some college but no degree"},
    {"age": "30", "income": "50000+.", "detailed industry recode": "10"},
]


def write(path, people):
    lines = [", ".join((PERSON | answers).values()) + "\n" for answers in people]
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "wt") as file:
        file.writelines(lines)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "census-income.data.gz", TRAIN)
    write(tmp_path / "census-income.test.gz", TEST)
    return tmp_path


def column(part, name):
    return part.x[:, part.columns.index(name)].tolist()


def test_quantities_have_the_scale_of_the_train_file_in_both_files(folder):
    train, _, test = load_census_income(folder, validation_fraction=0)
    # ages 20, 40, 40, 60: mean 40, deviation the root of (400 + 0 + 0 + 400) / 4
    assert column(train, "age") == pytest.approx([-(2**0.5), 0, 0, 2**0.5])
    assert column(test, "age") == pytest.approx([-(2**0.5), 2 * 2**0.5, -(0.5**0.5)])
    assert column(train, "weeks worked in year") == pytest.approx(
        [-1 / 3**0.5, 3**0.5] + [-1 / 3**0.5] * 2
    )


def test_what_is_held_out_does_not_move_the_scale(tmp_path):
    ages = np.array([20, 22, 24, 30, 40, 60, 90, 91])
    write(tmp_path / "census-income.data", [{"age": str(age)} for age in ages])
    write(tmp_path / "census-income.test", TEST)
    train, validation, test = load_census_income(tmp_path, validation_fraction=0.25, seed=1)
    assert len(train.x) == 6 and len(validation.x) == 2
    known = np.array(column(train, "age"))
    assert known.mean() == pytest.approx(0, abs=1e-6) and known.std() == pytest.approx(1)
    mean, deviation = np.linalg.lstsq(
        np.stack([np.ones(3), column(test, "age")], axis=1), [20, 80, 30]
    )[0]
    assert mean != pytest.approx(ages.mean())
    back = sorted(mean + deviation * np.array(column(train, "age") + column(validation, "age")))
    np.testing.assert_allclose(back, ages, rtol=1e-5)


def test_a_quantity_that_is_always_the_same_is_zero(folder):
    write(folder / "census-income.test.gz", [{"capital gains": "99999"}])
    train, _, test = load_census_income(folder, validation_fraction=0)
    assert column(train, "capital gains") == [0] * 4 and column(test, "capital gains") == [0]


def test_categories_are_those_of_the_train_file_in_both_files(folder):
    train, validation, test = load_census_income(folder, validation_fraction=0.25)
    # 7 quantities; of the others 27 have one answer, 3 have two, and one has three
    assert len(train.columns) == 7 + 27 + 3 * 2 + 3 == train.x.shape[1] == test.x.shape[1]
    assert train.columns == validation.columns == test.columns
    industry = "detailed industry recode->"
    assert [name for name in train.columns if name.startswith(industry)] == [
        f"{industry}{code}" for code in ("10", "4", "Not in universe")
    ]
    train = load_census_income(folder, validation_fraction=0)[0]
    assert column(train, f"{industry}4") == [1, 0, 0, 0]
    assert column(train, f"{industry}10") == [0, 0, 1, 0]
    assert column(train, "year->95") == [0, 0, 0, 1]


def test_a_category_that_the_test_file_lacks_keeps_its_place(folder):
    _, _, test = load_census_income(folder)
    assert column(test, "sex->Female") == [0, 0, 0] and column(test, "sex->Male") == [1, 1, 1]
    assert column(test, "race->White") == [1, 0, 1] and column(test, "race->Black") == [0, 0, 0]
    assert column(test, "year->94") == [1, 1, 1] and column(test, "year->95") == [0, 0, 0]


def test_a_category_that_only_the_test_file_has_is_all_zeros(folder):
    train, _, test = load_census_income(folder)
    assert not {"race->Other", "citizenship->?"} & set(train.columns)
    assert column(test, "citizenship->Not in universe") == [0, 1, 1]
    one_hot = ["->" in name for name in test.columns]
    assert test.x[:, one_hot].sum(axis=1).tolist() == [30, 30, 31]
    assert train.x[:, one_hot].sum(axis=1).tolist() == [31] * len(train.x)


def test_a_question_mark_in_the_train_file_is_a_category(folder):
    write(folder / "census-income.data.gz", [*TRAIN, {"citizenship": "?"}])
    train, _, test = load_census_income(folder, validation_fraction=0)
    assert column(train, "citizenship->?") == [0, 0, 0, 0, 1]
    assert column(test, "citizenship->?") == [1, 0, 0]


def test_labels_are_the_three_tasks(folder):
    train, _, test = load_census_income(folder, validation_fraction=0)
    assert {task: label.tolist() for task, label in train.y.items()} == {
        "income": [0, 1, 0, 0],
        "never_married": [1, 0, 1, 0],
        "college": [0, 0, 1, 0],
    }
    assert {task: label.tolist() for task, label in test.y.items()} == {
        "income": [0, 0, 1],
        "never_married": [1, 1, 1],
        "college": [0, 1, 0],
    }
    arrays = [train.x, test.x, *train.y.values(), *test.y.values()]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_college_is_some_college_or_above(folder):
    levels = {
        "Children": 0,
        "Less than 1st grade": 0,
        "1st 2nd 3rd or 4th grade": 0,
        "5th or 6th grade": 0,
        "7th and 8th grade": 0,
        "9th grade": 0,
        "10th grade": 0,
        "11th grade": 0,
        "12th grade no diploma": 0,
        "High school graduate": 0,
        "Some college but no degree": 1,
        "Associates degree-occup /vocational": 1,
        "Associates degree-academic program": 1,
        "Bachelors degree(BA AB BS)": 1,
        "Masters degree(MA MS MEng MEd MSW MBA)": 1,
        "Prof school degree (MD DDS DVM LLB JD)": 1,
        "Doctorate degree(PhD EdD)": 1,
    }
    write(folder / "census-income.test.gz", [{"education": level} for level in levels])
    test = load_census_income(folder)[2]
    assert dict(zip(levels, test.y["college"].tolist(), strict=True)) == levels


def test_never_married_is_not_to_live_alone(folder):
    others = ["Married-civilian spouse present", "Married-spouse absent", "Widowed", "Divorced"]
    others += ["Married-A F spouse present", "Separated"]
    people = [{"marital stat": status} for status in ["Never married", *others]]
    write(folder / "census-income.test.gz", people)
    assert load_census_income(folder)[2].y["never_married"].tolist() == [1] + [0] * 6


@pytest.mark.parametrize(
    "name, answer, task",
    [
        ("education", "Doctorate degree(PhD EdD)", "college"),
        ("marital stat", "Separated", "never_married"),
        ("income", "50000+.", "income"),
        ("instance weight", "3.5", None),
    ],
)
def test_labels_and_the_weight_of_a_row_are_no_inputs(folder, name, answer, task):
    before = load_census_income(folder, 0.25)
    for file, people in (("data", TRAIN), ("test", TEST)):
        changed = [people[0] | {name: answer}, *people[1:]]
        write(folder / f"census-income.{file}.gz", changed)
    after = load_census_income(folder, 0.25)
    for old, new in zip(before, after, strict=True):
        assert old.columns == new.columns
        assert old.x.tobytes() == new.x.tobytes()
    differing = [key for key in before[2].y if (before[2].y[key] != after[2].y[key]).any()]
    assert differing == ([task] if task else [])


def test_every_other_column_is_an_input(folder):
    before = load_census_income(folder, 0)[0].x
    hidden = {"education", "marital stat", "income", "instance weight"}
    for name in set(COLUMNS) - hidden:
        write(folder / "census-income.data.gz", [*TRAIN[:3], TRAIN[3] | {name: "77"}])
        after = load_census_income(folder, 0)[0].x
        assert before.shape != after.shape or (before != after).any(), name


def test_the_seed_chooses_who_is_held_out(tmp_path):
    write(tmp_path / "census-income.data", [{"year": str(row)} for row in range(20)])
    write(tmp_path / "census-income.test", TEST)

    def rows(part):
        places = [part.columns.index(f"year->{row}") for row in range(20)]
        return part.x[:, places].argmax(axis=1).tolist()

    train, validation, test = load_census_income(tmp_path, 0.3, seed=3)
    assert len(validation.x) == 6 and len(test.x) == 3
    assert rows(train) == sorted(rows(train))  # as in the file
    assert sorted(rows(train) + rows(validation)) == list(range(20))
    assert rows(load_census_income(tmp_path, 0.3, seed=3)[1]) == rows(validation)
    assert rows(load_census_income(tmp_path, 0.3, seed=4)[1]) != rows(validation)
    assert len(load_census_income(tmp_path)[1].x) == 2  # a tenth


def test_labels_stay_with_their_inputs(tmp_path):
    incomes = [("- 50000.", "50000+.")[row % 3 == 0] for row in range(12)]
    people = [{"income": income, "race": income} for income in incomes]
    write(tmp_path / "census-income.data", people)
    write(tmp_path / "census-income.test", people)
    for part in load_census_income(tmp_path, 0.5):
        assert part.y["income"].tolist() == column(part, "race->50000+.")


def test_files_may_be_packed_or_not_and_the_whole_test_file_comes_first(folder):
    whole = load_census_income(folder)[2]
    write(folder / "census-income.test.half-a.gz", TEST[:1])
    assert len(load_census_income(folder)[2].x) == 3
    (folder / "census-income.test.gz").unlink()
    assert len(load_census_income(folder)[2].x) == 1
    write(folder / "census-income.test", TEST)
    with open(folder / "census-income.test", "a") as file:
        file.write("\n")
    np.testing.assert_array_equal(load_census_income(folder)[2].x, whole.x)


def test_missing_and_empty_files_are_named(folder):
    (folder / "census-income.test.gz").unlink()
    message = "none of census-income.test.gz, census-income.test, census-income.test.half-a.gz"
    with pytest.raises(ValueError, match=f"There is {message}.* in {folder}. Give the folder"):
        load_census_income(folder)
    write(folder / "census-income.test.gz", [])
    with pytest.raises(ValueError, match="There are no rows in .*census-income.test.gz"):
        load_census_income(folder)
    with pytest.raises(
        ValueError, match="There is none of census-income.data.gz, census-income.da"
    ):
        load_census_income(folder / "elsewhere")


def test_rows_of_other_widths_are_refused(folder):
    with gzip.open(folder / "census-income.data.gz", "at") as file:
        file.write("58, Private, 4\n")
    message = "must have 42 columns.* Received 3 in row 5 of census-income.data.gz: 58, Private, 4"
    with pytest.raises(ValueError, match=message):
        load_census_income(folder)


@pytest.mark.parametrize(
    "name, answer", [("income", "50000+"), ("marital stat", "Single"), ("education", "PhD")]
)
def test_unknown_labels_are_refused(folder, name, answer):
    write(folder / "census-income.test.gz", [*TEST, {name: answer}])
    message = rf"Unknown {name} '{answer}' in census-income.test.gz. Known: '".replace("+", r"\+")
    with pytest.raises(ValueError, match=message):
        load_census_income(folder)


@pytest.mark.parametrize("fraction", [-0.1, 1])
def test_fractions_out_of_range_are_refused(folder, fraction):
    message = rf"validation_fraction must be in \[0, 1\). Received: {fraction}"
    with pytest.raises(ValueError, match=message):
        load_census_income(folder, fraction)


@pytest.mark.slow
@needs_data
def test_the_census_is_read_whole():
    train, validation, test = load_census_income(SHARED)
    assert train.x.shape == (179571, 486) and validation.x.shape == (19952, 486)
    assert test.x.shape[1] == 486 and len(test.x) in (49881, 99762)
    ones = {task: train.y[task].sum() + validation.y[task].sum() for task in train.y}
    assert ones == {"income": 12382, "never_married": 86485, "college": 67003}
    rates = [round(float(100 * number / 199523), 1) for number in ones.values()]
    assert rates == [6.2, 43.3, 33.6]
    one_hot = np.array(["->" in name for name in train.columns])
    assert one_hot.sum() == 479
    for part in (train, validation, test):
        assert set(part.x[:, one_hot].sum(axis=1).tolist()) == {31}
        np.testing.assert_allclose(part.x[:, ~one_hot].mean(axis=0), 0, atol=0.02)
        assert part.y["income"].mean() == pytest.approx(0.062, abs=0.003)
