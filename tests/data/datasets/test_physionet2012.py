import pathlib
import tarfile

import numpy as np
import pytest

from keras_mtl.data import load_physionet2012, standardize_stays
from keras_mtl.data.labels import check_labels
from keras_mtl.tasks import Task

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "physionet2012"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="the stays are not here")

OUTCOMES = """RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death
30,6,1,5,-1,0
10,-1,-1,-1,365,0
20,16,8,19,4,1
40,7,0,9,366,0
50,7,3,9,-23,0
60,7,3,9,12,0
"""
RECORDS = {
    "10": ["Age,54", "Gender,0", "Height,-1", "ICUType,4", "Weight,-1"],
    "20": ["Age,90", "Gender,1", "Height,170.2", "ICUType,2", "Weight,81.5"],
    "30": ["Age,61", "Gender,-1", "Height,13", "ICUType,3", "Weight,-1"],
    "40": ["Age,33", "Gender,1", "Height,180", "ICUType,1", "Weight,70"],
    "50": ["Age,44", "Gender,1", "Height,180", "ICUType,1", "Weight,70"],
    "60": ["Age,55", "Gender,0", "Height,160", "ICUType,1", "Weight,60"],
}
LATER = {
    "20": ["00:07,HR,70", "00:59,HR,76", "01:00,Weight,80", "48:00,HR,100"],
    "30": ["02:30,MechVent,1", "02:31,pH,735", "04:00,pH,7.25", "05:00,HR,0", "47:59,Urine,0"],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set-a").mkdir()
    for name, admission in RECORDS.items():
        lines = [f"00:00,RecordID,{name}", *(f"00:00,{line}" for line in admission)]
        text = "\n".join(["Time,Parameter,Value", *lines, *LATER.get(name, [])])
        (tmp_path / "set-a" / f"{name}.txt").write_text(text + "\n")
    (tmp_path / "Outcomes-a.txt").write_text(OUTCOMES)
    return tmp_path


@pytest.fixture
def stays(folder):
    return load_physionet2012(folder)


def column(stays, stay, name):
    return stays.x[stays.ids.index(stay), :, stays.columns.index(name)]


def test_stays_stand_in_the_order_of_the_outcomes(stays):
    assert stays.ids == ["30", "10", "20", "40", "50", "60"]
    assert stays.x.shape == (6, 48, 80) and stays.x.dtype == np.float32
    assert stays.lengths.tolist() == [48] * 6
    assert column(stays, "20", "Age")[0] == 90


def test_an_hour_holds_the_mean_of_its_values_and_keeps_it(stays):
    heart = column(stays, "20", "HR")
    assert heart.tolist() == [73] * 47 + [100]  # 48:00 is in the last hour
    assert column(stays, "20", "mask->HR").tolist() == [1] + [0] * 46 + [1]


def test_weight_is_measured_on_admission_and_again(stays):
    assert column(stays, "20", "Weight").tolist() == [81.5] + [80] * 47
    assert column(stays, "20", "mask->Weight").tolist() == [1, 1] + [0] * 46


def test_nothing_is_known_before_the_first_value(stays):
    acid = column(stays, "30", "pH")
    assert np.isnan(acid[:4]).all() and acid[4:].tolist() == [7.25] * 44


def test_missing_and_implausible_values_are_not_measured(stays):
    assert np.isnan(column(stays, "10", "Weight")).all()
    assert column(stays, "30", "mask->pH")[2] == 0
    assert np.isnan(column(stays, "30", "HR")).all()
    assert np.isnan(column(stays, "30", "Height")).all()
    assert np.isnan(column(stays, "30", "Gender")).all()
    assert column(stays, "30", "Urine")[47] == 0  # none is plausible, and measured
    assert column(stays, "30", "mask->Urine")[47] == 1


def test_ventilation_is_told_by_its_mask_alone(stays):
    assert "MechVent" not in stays.columns
    assert np.flatnonzero(column(stays, "30", "mask->MechVent")).tolist() == [2]


def test_what_is_known_at_admission_is_in_every_hour(stays):
    assert column(stays, "20", "Height").tolist() == [np.float32(170.2)] * 48
    units = [name for name in stays.columns if name.startswith("ICUType->")]
    assert units[1] == "ICUType->surgical cardiac"
    assert [column(stays, "20", unit).tolist() for unit in units] == [
        [value] * 48 for value in (0, 1, 0, 0)
    ]


def test_channels_are_a_variable_and_its_mask(stays):
    names = [[stays.columns[place] for place in channel] for channel in stays.channels]
    assert len(names) == 38 and ["HR", "mask->HR"] in names and names[-2] == ["mask->MechVent"]
    assert names[-1][:4] == ["Age", "Gender", "Height", "ICUType->coronary"]
    assert sorted(sum(stays.channels, [])) == list(range(80))
    scaled = [stays.columns[place] for place in stays.scaled]
    assert len(scaled) == 39 and scaled[-3:] == ["Age", "Gender", "Height"]


def test_labels_are_the_outcomes(stays):
    expected = {
        "mortality": [0, 0, 1, 0, 0, 0],
        "survival": [1, 0, np.nan, 1, np.nan, 0],
        "length_of_stay": [5, np.nan, 19, 9, 9, 9],
        "sofa": [1, np.nan, 8, 0, 3, 3],
        "saps": [6, np.nan, 16, 7, 7, 7],
    }
    assert list(stays.labels) == list(expected)
    for name, labels in expected.items():
        np.testing.assert_array_equal(stays.labels[name], labels)
        task = Task("binary" if name in ("mortality", "survival") else "regression")
        np.testing.assert_array_equal(check_labels(name, task, stays.labels[name]), labels)


def test_a_stay_without_measurements_is_kept(stays):
    place = stays.ids.index("10")
    masks = [name.startswith("mask->") for name in stays.columns]
    assert not stays.x[place][:, masks].any()
    (standard,) = standardize_stays(stays)
    assert not np.isnan(standard.x).any() and standard.x.any(axis=-1).all()  # no step is padding


def test_a_tar_file_is_read_as_the_folder_in_it(folder, stays):
    with tarfile.open(folder / "set-a.tar.gz", "w:gz") as archive:
        archive.add(folder / "set-a", "set-a")
    for path in (folder / "set-a").iterdir():
        path.unlink()
    (folder / "set-a").rmdir()
    packed = load_physionet2012(folder)
    np.testing.assert_array_equal(packed.x, stays.x)
    assert packed.ids == stays.ids


def test_missing_files_are_named(folder):
    with pytest.raises(ValueError, match="There is no .*Outcomes-b.txt. Give the folder that hold"):
        load_physionet2012(folder, part="b")
    (folder / "Outcomes-b.txt").write_text(OUTCOMES)
    with pytest.raises(ValueError, match="neither .*set-b.tar.gz nor the folder .*set-b"):
        load_physionet2012(folder, part="b")
    (folder / "set-a" / "40.txt").unlink()
    with pytest.raises(ValueError, match="1 of 6 stays with an outcome have no record.* 40.txt"):
        load_physionet2012(folder)


def test_unknown_parts_and_variables_are_refused(folder):
    with pytest.raises(ValueError, match='part must be "a", "b" or "c". Received: \'d\''):
        load_physionet2012(folder, part="d")
    with open(folder / "set-a" / "40.txt", "a") as file:
        file.write("07:00,Mood,3\n")
    with pytest.raises(ValueError, match="Unknown variable 'Mood' in 40.txt, line '07:00,Mood,3'"):
        load_physionet2012(folder)


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize(
    "part, deaths, late_deaths, odd, unmeasured", [("a", 554, 489, 0, 3), ("b", 568, 473, 1, 6)]
)
def test_the_challenge_is_read_whole(part, deaths, late_deaths, odd, unmeasured):
    stays = load_physionet2012(SHARED, part)
    assert stays.x.shape == (4000, 48, 80)
    assert np.nansum(stays.labels["mortality"]) == deaths
    assert (stays.labels["survival"] == 0).sum() == late_deaths
    assert np.isnan(stays.labels["survival"]).sum() == deaths + odd  # died before admission
    masks = stays.x[..., [name.startswith("mask->") for name in stays.columns]]
    assert (~masks.any(axis=(1, 2))).sum() == unmeasured
    assert (stays.x[:, 0, -4:].sum(axis=-1) == 1).all()  # one unit each
