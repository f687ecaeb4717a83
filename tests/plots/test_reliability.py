import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task, calibration_error
from keras_mtl.plots import plot_reliability
from tests.calibration.data import TASKS, X, Y, answers, network

pytest.importorskip("matplotlib.figure")


@pytest.fixture(scope="module")
def too_sure():
    return network(factor=2.5)


def test_a_panel_for_each_task_with_its_error(too_sure):
    axes = plot_reliability(too_sure, X, Y)
    assert list(axes) == [name for name in TASKS if name != "spend"]
    assert len({ax.figure for ax in axes.values()}) == 1
    p = answers(too_sure)
    for name, ax in axes.items():
        assert ax.get_title() == f"{name}: error {calibration_error(Y[name], p[name]):.3f}"
        assert ax.get_xlabel() == (
            "confidence" if TASKS[name].has_classes else "predicted probability"
        )


def test_dots_are_bins(too_sure):
    axes = plot_reliability(too_sure, X, Y, ["click"], bins=2, binning="mass")
    (dots,) = axes["click"].collections
    p = answers(too_sure)["click"][:, 0]
    upper = p > np.median(p)
    expected = [[p[part].mean(), Y["click"][part].mean()] for part in (~upper, upper)]
    np.testing.assert_allclose(dots.get_offsets(), expected, rtol=1e-5)


def test_a_calibrated_network_has_a_smaller_error(too_sure):
    calibrated = keras_mtl.calibrate(too_sure, X, Y)
    before, after = answers(too_sure), answers(calibrated)
    for name in ("kind", "click", "tags", "rank"):
        sure, right = (calibration_error(Y[name], p[name]) for p in (before, after))
        assert right < 0.5 * sure, name


def test_of_a_funnel_the_joint_probability_is_drawn():
    model = network({"click": Task("binary"), "spend": Task("binary", given="click")})
    spend = np.where(Y["click"] == 1, Y["tags"][:, 0], np.nan)
    axes = plot_reliability(model, X, {"click": Y["click"], "spend": spend}, ["spend"])
    error = calibration_error(np.nan_to_num(spend), answers(model)["spend"])
    assert axes["spend"].get_title() == f"spend: error {error:.3f}"


def test_separate_data():
    model = network({"kind": Task("classes", 3), "click": "binary"}, task_data="separate")
    x = {"kind": X[:100], "click": X}
    axes = plot_reliability(model, x, {"kind": Y["kind"][:100], "click": Y["click"]})
    alone = network({"click": "binary"})
    error = calibration_error(Y["click"], answers(alone)["click"])
    assert axes["click"].get_title() == f"click: error {error:.3f}"


def test_what_cannot_be_drawn_is_refused(too_sure):
    for arguments, message in [
        ((too_sure, X, Y, ["spend"]), "draws probabilities, but task 'spend' of kind 'regression'"),
        ((keras_mtl.freeze(too_sure), X, Y), "plot_reliability draws a network with tasks"),
        ((too_sure, X, {"click": Y["click"]}), "y has no entry for task 'kind'"),
        ((network({"spend": "regression"}), X, {}), "draws probabilities, but task 'spend'"),
    ]:
        with pytest.raises(ValueError, match=message):
            plot_reliability(*arguments)
