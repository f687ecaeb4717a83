"""The same gradients in TorchJD give the same step."""

import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.training.balancing.pcgrad import surgery

torch = pytest.importorskip("torch")
aggregation = pytest.importorskip("torchjd.aggregation")


def gradients(num_tasks, seed):
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.random((num_tasks, 1))
    rows = scale * rng.normal(size=(num_tasks, 6))
    rows[0] = 0.5 * rows[0] - rows[-1]  # a conflict
    return rows.astype("float32")


@pytest.mark.parametrize("num_tasks", [2, 3, 6])
def test_pcgrad_projects_as_torchjd_does(num_tasks, monkeypatch):
    rows = gradients(num_tasks, seed=num_tasks)
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(num_tasks) for _ in rows])
    drawn = iter(torch.from_numpy(orders))
    monkeypatch.setattr(torch, "randperm", lambda _: next(drawn))
    theirs = aggregation.PCGrad()(torch.from_numpy(rows)).numpy()
    weights = ops.convert_to_numpy(surgery(ops.array(rows @ rows.T), ops.array(orders)))
    assert abs(weights - 1).max() > 0.1
    np.testing.assert_allclose(weights @ rows, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_tasks", [2, 3, 6])
@pytest.mark.parametrize("c", [0.2, 0.8])
def test_cagrad_steps_as_torchjd_does(num_tasks, c):
    pytest.importorskip("cvxpy", exc_type=ImportError)
    pytest.importorskip("clarabel")
    rows = gradients(num_tasks, seed=num_tasks)
    theirs = aggregation.CAGrad(c=c, norm_eps=0.0)(torch.from_numpy(rows)).numpy()
    balancing = keras_mtl.CAGrad(c=c)
    balancing.build({f"task_{index}": Task("regression") for index in range(num_tasks)})
    ones = ops.ones((num_tasks,))
    weights, for_own = balancing.coefficients(ops.array(rows @ rows.T), ones, ones)
    ours = ops.convert_to_numpy(weights) @ rows / num_tasks  # they take the mean, we the sum
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3 * abs(theirs).max())
    assert ops.convert_to_numpy(for_own).tolist() == [1] * num_tasks
