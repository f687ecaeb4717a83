import numpy as np
import pytest

from keras_mtl.data import read_mimic3_benchmark, standardize_stays

NAN = np.nan
VARIABLES = [
    "Capillary refill rate",
    "Diastolic blood pressure",
    "Fraction inspired oxygen",
    "Glascow coma scale eye opening",
    "Glascow coma scale motor response",
    "Glascow coma scale total",
    "Glascow coma scale verbal response",
    "Glucose",
    "Heart Rate",
    "Height",
    "Mean blood pressure",
    "Oxygen saturation",
    "Respiratory rate",
    "Systolic blood pressure",
    "Temperature",
    "Weight",
    "pH",
]
HEADER = (
    "filename,length of stay,in-hospital mortality task (pos;mask;label),length of stay task "
    "(masks;labels),phenotyping task (labels),decompensation task (masks;labels)"
)
PHENOTYPES = [1] + [0] * 23 + [1]


def stay_file(path, events, variables=VARIABLES):
    """Writes a file of events: pairs of the hour and a dict, variable -> text."""
    lines = [",".join(["Hours", *variables])]
    lines += [",".join([hour, *(event.get(v, "") for v in variables)]) for hour, event in events]
    path.write_text("\n".join(lines) + "\n")


def listed(name, hours, mortality, dies=None):
    """Returns the line of a stay: labels at hours 0, 1, ..., asked after hour 4."""
    times = range(int(hours) + 1)
    asked = [int(time > 4) for time in times]
    remaining = [f"{hours - time:.6f}" for time in times]
    dying = [int(dies is not None and dies - time < 24) for time in times]
    fields = [mortality, asked + remaining, PHENOTYPES, asked + dying]
    texts = [";".join(map(str, field)) for field in fields]
    return ",".join([f"{name}_timeseries.csv", f"{hours:.6f}", *texts])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train").mkdir()
    train = tmp_path / "train"
    eyes, total = "Glascow coma scale eye opening", "Glascow coma scale total"
    stay_file(
        train / "7_episode1_timeseries.csv",
        [
            ("0.0", {"Heart Rate": "70.0"}),
            ("1.0", {"Heart Rate": "72.0"}),
            ("1.000278", {"Heart Rate": "90", eyes: "To Pain", "pH": "7.25"}),
            ("3.5", {eyes: "None", total: "9"}),
            ("50.5", {"Heart Rate": "99.0"}),
        ],
    )
    stay_file(train / "7_episode2_timeseries.csv", [("4.25", {"Weight": "61.5"})])
    stay_file(train / "30_episode1_timeseries.csv", [("0.5", {"Capillary refill rate": "1.0"})])
    lines = [
        listed("7_episode1", 400.0, (47, 1, 1), dies=60),
        listed("30_episode1", 5.5, (0, 0, 1)),
        listed("7_episode2", 48.0, (47, 1, 0)),
    ]
    (train / "listfile.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    (tmp_path / "val_listfile.csv").write_text("\n".join([HEADER, lines[1]]) + "\n")
    return train


@pytest.fixture
def stays(folder):
    return read_mimic3_benchmark(folder)


def column(stays, stay, name):
    return stays.x[stay, :, stays.columns.index(name)]


def test_there_are_59_value_columns_and_17_masks(stays):
    assert stays.x.shape == (3, 400, 76) and stays.x.dtype == np.float32
    assert stays.columns[59:] == [f"mask->{name}" for name in VARIABLES]
    assert [stays.columns[place] for place in stays.scaled] == [
        name for name in VARIABLES if name != "Capillary refill rate" and "coma" not in name
    ]


def test_channels_are_the_columns_of_a_variable(stays):
    names = [[stays.columns[place] for place in channel] for channel in stays.channels]
    assert names[0] == [
        "Capillary refill rate->0.0",
        "Capillary refill rate->1.0",
        "mask->Capillary refill rate",
    ]
    assert names[-1] == ["pH", "mask->pH"]
    assert [len(channel) - 1 for channel in names] == [2, 1, 1, 8, 12, 13, 12] + [1] * 10
    assert sorted(sum(stays.channels, [])) == list(range(76))


def test_an_hour_holds_its_last_value_and_keeps_it(stays):
    heart = column(stays, 0, "Heart Rate")
    assert heart.tolist() == [72] + [90] * 49 + [99] * 350  # 1.0 is in the first hour
    assert np.flatnonzero(column(stays, 0, "mask->Heart Rate")).tolist() == [0, 1, 50]


def test_a_normal_value_stands_before_the_first(stays):
    np.testing.assert_allclose(column(stays, 0, "pH")[:3], [7.4, 7.25, 7.25], rtol=1e-6)
    assert column(stays, 2, "Weight")[:6].tolist() == [81, 81, 81, 81, 61.5, 61.5]
    assert not column(stays, 0, "mask->Weight").any()


def test_categories_are_one_hot(stays):
    def eyes(step, place=3):
        places = stays.channels[place][:-1]
        return [stays.columns[i].split("->")[1] for i in places if stays.x[0, step, i] == 1]

    assert [eyes(step) for step in (0, 1, 2, 3, 399)] == [
        ["4 Spontaneously"],
        ["To Pain"],
        ["To Pain"],
        ["None"],
        ["None"],
    ]
    assert [eyes(step, place=5) for step in (2, 3)] == [["15"], ["9"]]
    assert column(stays, 1, "Capillary refill rate->1.0")[:6].tolist() == [1] * 6


def test_a_stay_has_a_step_for_each_hour_begun(stays):
    assert stays.lengths.tolist() == [400, 6, 48]
    assert not np.isnan(stays.x[1, :6]).any() and np.isnan(stays.x[1, 6:]).all()


def test_padding_alone_is_0_when_standardized(stays):
    (standard,) = standardize_stays(stays)
    steps = standard.x.any(axis=-1)
    np.testing.assert_array_equal(steps.sum(axis=1), stays.lengths)
    assert steps[1, :6].all()


def test_mortality_is_asked_once_a_stay(stays):
    np.testing.assert_array_equal(stays.labels["mortality"], [1, NAN, 0])
    at_48 = stays.labels["mortality_at_48"]
    np.testing.assert_array_equal(at_48[:, 47], [1, NAN, 0])
    assert np.isnan(np.delete(at_48, 47, axis=1)).all() and at_48.shape == (3, 400)


def test_decompensation_is_asked_at_the_end_of_each_hour(stays):
    labels = stays.labels["decompensation"]
    assert np.isnan(labels[0, :4]).all() and labels[0, 4:36].tolist() == [0] * 32
    assert labels[0, 36:].tolist() == [1] * 364  # step 36 ends at hour 37, 23 before 60
    assert np.isnan(labels[1, 5:]).all() and labels[1, 4] == 0


def test_length_of_stay_is_the_class_of_what_remains(stays):
    classes, hours = stays.labels["length_of_stay"], stays.labels["remaining_hours"]
    assert classes.dtype == np.int32 and classes[0, :4].tolist() == [-1] * 4
    assert hours[0, [4, 63, 64, 399]].tolist() == [395, 336, 335, 0]
    assert classes[0, [4, 63, 64]].tolist() == [9, 9, 8]  # 14 days are 336 hours
    # hours left: 193, 192, 191, 169, 168, 48, 47, 24, 23, 0
    steps = np.array([206, 207, 208, 230, 231, 351, 352, 375, 376, 399])
    assert classes[0, steps].tolist() == [8, 8, 7, 7, 7, 2, 1, 1, 0, 0]
    assert classes[1].tolist() == [-1] * 4 + [0] + [-1] * 395
    np.testing.assert_array_equal(np.isnan(hours), classes == -1)


def test_phenotypes_are_a_row_of_a_stay(stays):
    np.testing.assert_array_equal(stays.labels["phenotypes"], [PHENOTYPES] * 3)


def test_stays_are_in_the_order_of_the_list(folder, stays):
    assert stays.ids == ["7_episode1", "30_episode1", "7_episode2"]
    some = read_mimic3_benchmark(folder, folder.parent / "val_listfile.csv")
    assert some.ids == ["30_episode1"] and some.x.shape == (1, 48, 76)
    np.testing.assert_array_equal(some.x, stays.x[1:2, :48])


def test_longer_stays_are_cut(folder, stays):
    cut = read_mimic3_benchmark(folder, length=49)
    assert cut.lengths.tolist() == [49, 6, 48]
    np.testing.assert_array_equal(cut.x, stays.x[:, :49])
    for name, labels in cut.labels.items():
        whole = stays.labels[name]
        cuts = name not in ("mortality", "phenotypes")
        np.testing.assert_array_equal(labels, whole[:, :49] if cuts else whole)
    with pytest.raises(ValueError, match="length must be an integer of at least 48. Received: 24"):
        read_mimic3_benchmark(folder, length=24)


def test_a_death_on_arrival_is_never_decompensation(folder):
    line = listed("30_episode1", 5.5, (0, 0, 1)).rsplit(",", 1)[0]
    (folder / "listfile.csv").write_text(f"{HEADER}\n{line},;\n")  # no hour to ask at
    assert np.isnan(read_mimic3_benchmark(folder).labels["decompensation"]).all()


def test_columns_may_stand_in_any_order(folder, stays):
    stay_file(
        folder / "7_episode2_timeseries.csv",
        [("4.25", {"Weight": "61.5"})],
        variables=VARIABLES[::-1],
    )
    np.testing.assert_array_equal(read_mimic3_benchmark(folder).x, stays.x)


def test_missing_files_are_named(folder):
    with pytest.raises(ValueError, match="no .*listfile.csv. Give the folder train or test that"):
        read_mimic3_benchmark(folder.parent)
    (folder / "30_episode1_timeseries.csv").unlink()
    with pytest.raises(ValueError, match="listfile.csv lists 30_episode1_timeseries.csv, but ther"):
        read_mimic3_benchmark(folder)


def test_the_list_of_another_problem_is_refused(folder):
    (folder / "listfile.csv").write_text("stay,y_true\n7_episode1_timeseries.csv,1\n")
    with pytest.raises(ValueError, match="not a list of the multitask .* Received: stay, y_true"):
        read_mimic3_benchmark(folder)
    (folder / "listfile.csv").write_text("")
    with pytest.raises(ValueError, match="not a list of the multitask problem"):
        read_mimic3_benchmark(folder)


@pytest.mark.parametrize("variables", [[*VARIABLES, "Mood"], VARIABLES[1:], []])
def test_other_columns_are_refused(folder, variables):
    stay_file(folder / "7_episode1_timeseries.csv", [], variables)
    with pytest.raises(ValueError, match="columns of .*7_episode1_timeseries.csv must be Hours, C"):
        read_mimic3_benchmark(folder)


@pytest.mark.parametrize(
    "name, text, expected",
    [("Heart Rate", "fast", "a number"), ("Capillary refill rate", "2.0", "0.0, 1.0")],
)
def test_values_that_the_benchmarks_do_not_write_are_refused(folder, name, text, expected):
    stay_file(folder / "7_episode1_timeseries.csv", [("1.5", {name: text})])
    message = f"'{name}' is '{text}' in .*7_episode1_timeseries.csv. Expected: {expected}."
    with pytest.raises(ValueError, match=message):
        read_mimic3_benchmark(folder)
