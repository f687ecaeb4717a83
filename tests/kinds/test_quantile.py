"""The loss of quantiles, by hand and by scikit-learn."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import mean_pinball_loss

import keras_mtl
from keras_mtl import Quantile, Task
from keras_mtl.training.inputs.judges import check_fit

NAN = float("nan")
dense = partial(keras.layers.Dense, 3)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_what_is_too_low_costs_q_and_what_is_too_high_the_rest():
    values = Quantile(0.75).call(ops.array([[3.0], [1.0], [2.0]]), ops.array([[1.0], [3.0], [2.0]]))
    np.testing.assert_allclose(array(values), [0.75 * 2, 0.25 * 2, 0.0])


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_loss_is_that_of_scikit_learn(q):
    y, answers = np.random.default_rng(0).normal(size=(2, 40, 1)).astype("float32")
    expected = mean_pinball_loss(y, answers, alpha=q)
    assert float(Quantile(q)(y, answers)) == pytest.approx(expected, rel=1e-5)


def test_each_value_has_its_quantile():
    y, answers = ops.array([[4.0, 4.0]]), ops.array([[2.0, 8.0]])
    values = Quantile([0.1, 0.9]).call(y, answers)
    np.testing.assert_allclose(array(values), [(0.1 * 2 + 0.1 * 4) / 2], rtol=1e-6)


@pytest.mark.parametrize("q", [0, 1, -0.1, NAN, "x", [0.5, 1.0]])
def test_a_quantile_is_a_share(q):
    with pytest.raises(ValueError, match=r"q must be a number in \(0, 1\)"):
        Quantile(q)


def test_no_quantiles_are_refused():
    with pytest.raises(ValueError, match=r"q must be a number in \(0, 1\), or a list of some"):
        Quantile([])


def test_a_task_has_as_many_values_as_quantiles():
    Task("regression", 3, loss=Quantile(0.5)), Task("regression", 2, loss=Quantile([0.1, 0.9]))
    with pytest.raises(ValueError, match=r"has 2 quantiles for a task of size 1. Give one, or"):
        Task("regression", loss=Quantile([0.1, 0.9]))


def test_numbers_and_amounts_have_quantiles_and_classes_have_none():
    for kind in ("regression", "amount", "count"):
        check_fit("watch", Task(kind, loss=Quantile(0.9)))
    with pytest.raises(ValueError, match="Quantile does not fit task 'watch'.* kind 'binary'"):
        check_fit("watch", Task("binary", loss=Quantile(0.9)))


def test_a_standardized_task_has_its_loss_in_standard_units():
    tasks = {"watch": Task("regression", 2, loss=Quantile([0.5, 0.9]), standardize=(60, 20))}
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [dense])
    model.compile("sgd")
    y, answers = ops.array([[80.0, 80.0], [NAN, 1.0]]), ops.array([[60.0, 60.0], [1.0, 1.0]])
    loss = model.compute_loss({}, {"watch": y}, {"watch": answers})
    assert float(loss) == pytest.approx((0.5 * 1 + 0.9 * 1) / 2)


def test_a_network_learns_quantiles_and_is_saved_with_them(tmp_path):
    watch = np.random.default_rng(0).exponential(60.0, (512, 1)).astype("float32")
    x, labels = np.zeros((512, 1), "float32"), np.repeat(watch, 2, axis=1)
    tasks = {"watch": Task("regression", 2, loss=Quantile([0.5, 0.9]), standardize=True)}
    model = keras_mtl.build_shared_bottom(keras.Input((1,)), tasks, [dense])
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, {"watch": labels}, epochs=12, batch_size=64, verbose=0)
    found = model.predict(x[:1], verbose=0)["watch"]
    below = (watch < found).mean(axis=0)
    np.testing.assert_allclose(below, [0.5, 0.9], atol=0.06)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert reloaded.tasks["watch"].loss.q == [0.5, 0.9]
    np.testing.assert_array_equal(reloaded.predict(x[:1], verbose=0)["watch"], found)
