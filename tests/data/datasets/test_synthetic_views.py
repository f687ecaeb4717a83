import numpy as np
import pytest

from keras_mtl.data import synthetic_views


def test_shapes_and_types():
    tasks, (x, y), (x_test, _) = synthetic_views(2, num_train=5, num_test=7, view_dim=3)
    assert tasks == {"view_1": "binary", "view_2": "binary"}
    assert (x.shape, x.dtype, x_test.shape) == ((5, 2, 3), "float32", (7, 2, 3))
    assert {name: (labels.shape, labels.dtype) for name, labels in y.items()} == {
        name: ((5,), "float32") for name in tasks
    }


def test_a_task_depends_on_its_own_view_alone():
    _, (x, y), _ = synthetic_views(3, num_train=6000, noise=0.0)
    for task, labels in enumerate(y.values()):
        products = np.einsum("n,nvi,nvj->vij", 2 * labels - 1, x, x) / len(x)
        strength = np.abs(products).max(axis=(1, 2))
        assert strength[task] > 0.2
        assert np.delete(strength, task).max() < 0.1


def test_noise_turns_labels_round():
    (_, clean), (_, noisy) = (synthetic_views(num_train=5000, noise=n)[1] for n in (0.0, 0.2))
    assert abs(np.mean(clean["view_1"] != noisy["view_1"]) - 0.2) < 0.02


def test_seeds_reproduce():
    again = [synthetic_views(seed=seed)[1][0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_tasks": 0}, "num_tasks must be .* at least 1"),
        ({"view_dim": 1}, "view_dim must be .* at least 2"),
        ({"noise": -0.1}, r"noise must be a number in \[0, 0.5\]"),
    ],
)
def test_settings_that_make_no_sense_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        synthetic_views(**settings)
