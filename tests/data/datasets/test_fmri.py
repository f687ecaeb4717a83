import gzip
import pathlib

import numpy as np
import pytest

from keras_mtl.data import region_tasks, task_batches

REAL = pathlib.Path(__file__).parents[4] / "shared/data/fmri_nitime/fmri_timeseries.csv.gz"
GROUPS = {"left": [0, 2], "right": [3, 1, 0]}


def made_series(participants=5, regions=4, scans=12):
    rng = np.random.default_rng(0)
    return rng.standard_normal((participants, regions, scans))


def test_shapes_labels_and_types():
    tasks, train, test = region_tasks(made_series(), GROUPS, [1], num_components=2, piece=3)
    assert {name: (task.kind, task.size) for name, task in tasks.items()} == {
        "left": ("classes", 2),
        "right": ("classes", 3),
    }
    assert list(train) == list(test) == ["left", "right"]
    x, y = train["right"]
    assert (x.shape, x.dtype) == ((12, 4, 2), "float32")
    assert (y.tolist(), y.dtype) == ([0, 1, 2] * 4, "int32")
    assert test["left"][0].shape == (2, 4, 2)
    assert test["left"][1].tolist() == [0, 1]


# Two regions of two participants, two pieces of two scans each. The training pieces, of
# participant 0, lie on the line (1, 1) through (1, 3): the component is (1, 1) / sqrt(2).
def test_values_worked_out_by_hand():
    series = [[[0, 2, 1, 3], [2, 4, 1, 3]], [[1, 3, 5, 3], [1, 4, 3, 5]]]
    _, train, test = region_tasks(series, {"a": [0, 1]}, [1], num_components=1, piece=2)
    root = np.sqrt(2)
    np.testing.assert_allclose(train["a"][0], [[[-root], [0]], [[root], [0]]], atol=1e-6)
    np.testing.assert_allclose(
        test["a"][0], [[[0], [2 * root]], [[root / 2], [2 * root]]], atol=1e-6
    )


# With as many components as scans, the components only turn a piece, whose length about the mean
# piece stays.
def test_each_example_is_the_series_of_its_region():
    series = made_series()
    _, train, test = region_tasks(series, GROUPS, [2, 4], num_components=3, piece=3)
    pieces = series.reshape(5, 4, 4, 3)
    mean = pieces[[0, 1, 3]].reshape(-1, 3).mean(axis=0)
    lengths = np.linalg.norm(pieces - mean, axis=-1)
    for part, participants in ((train, [0, 1, 3]), (test, [2, 4])):
        for name, regions in GROUPS.items():
            expected = [lengths[p, r] for p in participants for r in regions]
            np.testing.assert_allclose(np.linalg.norm(part[name][0], axis=-1), expected, rtol=1e-5)


def test_components_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.decomposition")
    series = made_series(participants=7, scans=40)
    _, train, test = region_tasks(series, GROUPS, [0, 6], num_components=3, piece=8)
    pieces = series.reshape(7, 4, 5, 8)
    pca = sklearn.PCA(3).fit(pieces[1:6].reshape(-1, 8))
    for part, participants in ((train, [1, 2, 3, 4, 5]), (test, [0, 6])):
        values = pca.transform(pieces[participants].reshape(-1, 8))
        expected = values.reshape(-1, 4, 5, 3)[:, GROUPS["right"]].reshape(-1, 5, 3)
        np.testing.assert_allclose(np.abs(part["right"][0]), np.abs(expected), atol=1e-5)


def test_test_participants_do_not_move_the_components():
    series = made_series()
    _, train, _ = region_tasks(series, GROUPS, [4], num_components=2, piece=3)
    series[4] *= 100
    _, again, _ = region_tasks(series, GROUPS, [4], num_components=2, piece=3)
    np.testing.assert_array_equal(train["left"][0], again["left"][0])


def test_groups_given_later_get_the_same_components():
    series = made_series()
    both = region_tasks(series, GROUPS, [4], num_components=2, piece=3)[1]
    later = region_tasks(series, {"right": GROUPS["right"]}, [4], num_components=2, piece=3)[1]
    np.testing.assert_array_equal(both["right"][0], later["right"][0])


def test_no_participant_is_in_both_parts():
    series = np.arange(5)[:, None, None] * 100 + made_series()
    _, train, test = region_tasks(series, GROUPS, np.array([3, 0]), num_components=1, piece=3)
    assert len(train["left"][0]) == 3 * 2 and len(test["left"][0]) == 2 * 2
    nearest = np.abs(train["left"][0][:, None] - test["left"][0]).min(axis=(2, 3))
    assert nearest.min() > 100


def test_signs_of_components_are_fixed():
    series = made_series()
    _, train, _ = region_tasks(series, GROUPS, [4], num_components=3, piece=3)
    _, mirrored, _ = region_tasks(-series, GROUPS, [4], num_components=3, piece=3)
    np.testing.assert_allclose(mirrored["left"][0], -train["left"][0], atol=1e-6)


def test_task_batches_take_them():
    tasks, train, test = region_tasks(made_series(), GROUPS, [1], num_components=2, piece=3)
    inputs, y = task_batches(tasks, train, batch_size=3, seed=0)[0]
    assert inputs["inputs"].shape == (3, 4, 2) and y.shape == (3,)
    batches = task_batches(tasks, test, batch_size=5, order="sequential")
    assert [y.tolist() for _, y in batches] == [[0, 1], [0, 1, 2]]


@pytest.mark.skipif(not REAL.exists(), reason="the measured time series are not here")
def test_measured_series_become_tasks():
    with gzip.open(REAL, "rt") as file:
        scans = np.loadtxt(file, delimiter=",", skiprows=1)[:, 3:]  # the first are no regions
    halves = scans.T.reshape(28, 2, 125).swapaxes(0, 1)  # two parts of one participant
    groups = {"caudate": [0, 14], "deep": [0, 1, 2]}
    tasks, train, test = region_tasks(halves, groups, [1], num_components=3, piece=25)
    assert train["deep"][0].shape == test["deep"][0].shape == (3, 5, 3)
    assert np.isfinite(train["deep"][0]).all()
    assert tasks["caudate"].size == 2


def refused(match, series=None, groups=GROUPS, test_participants=(1,), **arguments):
    series = made_series() if series is None else series
    arguments = {"num_components": 2, "piece": 3, **arguments}
    with pytest.raises(ValueError, match=match):
        region_tasks(series, groups, test_participants, **arguments)


def test_series_of_another_form_are_refused():
    refused(r"\(participants, regions, scans\). Received shape \(4, 12\)", series=np.ones((4, 12)))
    refused("Received shape.*dtype <U1", series=np.full((5, 4, 12), "a"))
    refused(r"Received shape \(0, 4, 12\)", series=np.ones((0, 4, 12)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused_with_their_place(value):
    series = made_series()
    series[3, 2, 5:7] = value
    refused("2 values that are NaN or infinite.*participant 3, region 2, scan 5", series=series)


def test_a_rest_after_the_last_piece_is_refused():
    refused("12 scans cannot be cut in pieces of 5", piece=5)


def test_unknown_or_repeated_regions_are_refused():
    refused(r'Group "a" must name regions.*0 to 3.*\[0, 4\]', groups={"a": [0, 4]})
    refused(r'Group "a" must name regions.*\[-1, 2\]', groups={"a": [-1, 2]})
    refused(r'Group "a" must name regions.*each once.*\[2, 2\]', groups={"a": [2, 2]})
    refused(r"Group \"a\" must name regions.*\['left', 'right'\]", groups={"a": ["left", "right"]})
    refused('Group "a" must name regions', groups={"a": []})


def test_groups_that_are_no_task_are_refused():
    refused('Group "a" has one region', groups={"a": [2]})
    refused("groups must be a dict.*{}", groups={})
    refused("groups must be a dict.*Received: \\[\\[0, 1\\]\\]", groups=[[0, 1]])
    refused("Task name 'a b' cannot be used", groups={"a b": [0, 1]})


def test_test_participants_that_do_not_split_are_refused():
    refused(r"test_participants must name participants.*0 to 4.*\[5\]", test_participants=[5])
    refused("test_participants must name participants.*each once", test_participants=[1, 1])
    refused("test_participants must name participants", test_participants=[])
    refused("every participant: none is left", test_participants=range(5))


def test_too_many_components_are_refused():
    refused("64 training pieces of 3 scans have at most 3.*num_components=4", num_components=4)
    series = made_series(participants=2, regions=2)
    refused(
        "4 training pieces of 6 scans have at most 3.*num_components=4",
        series=series, groups={"a": [0, 1]}, num_components=4, piece=6,
    )  # fmt: skip


def test_counts_are_checked():
    refused("num_components must be an integer of at least 1.*0", num_components=0)
    refused("piece must be an integer of at least 1.*0", piece=0)
