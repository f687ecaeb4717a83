import numpy as np
import pytest

from keras_mtl.data import synthetic_pairs, task_batches


def test_tasks_are_named_by_pair():
    tasks, data = synthetic_pairs(num_pairs=2)
    assert tasks == dict.fromkeys(["pair_1_a", "pair_1_b", "pair_2_a", "pair_2_b"], "regression")
    assert list(data) == list(tasks)


@pytest.mark.parametrize("relatedness", [0.0, 0.3, 1.0])
def test_relatedness_is_the_cosine_within_a_pair_and_pairs_are_orthogonal(relatedness):
    _, data = synthetic_pairs(num_pairs=2, relatedness=relatedness, input_dim=7)
    weights = np.stack([task.weights for task in data.values()])
    cosines = np.eye(4)
    cosines[0, 1] = cosines[1, 0] = cosines[2, 3] = cosines[3, 2] = relatedness
    np.testing.assert_allclose(weights @ weights.T, cosines, atol=1e-6)


def test_labels_follow_the_formula():
    _, data = synthetic_pairs(num_pairs=1, input_dim=5, noise=0.0)
    x, y = data["pair_1_a"][0]
    z = float(x[3] @ data["pair_1_a"].weights)
    sines = [
        np.sin(z), np.sin(2 * z + 1), np.sin(3 * z + 4),
        np.sin(4 * z + 9), np.sin(5 * z + 16), np.sin(6 * z + 25),
    ]  # fmt: skip
    np.testing.assert_allclose(y[3], z + sum(sines), atol=1e-5)


def test_noise_is_a_standard_deviation():
    task = synthetic_pairs(num_pairs=1, noise=0.5)[1]["pair_1_a"]
    x, y = task.held_out(5000)
    assert abs(np.std(y - task.label(x)) - 0.5) < 0.03
    assert abs(np.std(x) - 1) < 0.01


def test_batches_are_fresh_and_repeatable():
    (_, data), (_, again), (_, other) = (synthetic_pairs(seed=seed) for seed in (0, 0, 1))
    x, y = data["pair_1_a"][3]
    np.testing.assert_array_equal(x, again["pair_1_a"][3][0])
    np.testing.assert_array_equal(y, again["pair_1_a"][3][1])
    assert x.dtype == y.dtype == "float32"
    for batch in (data["pair_1_a"][4], data["pair_1_b"][3], other["pair_1_a"][3]):
        assert (x != batch[0]).all(axis=1).all()


def test_held_out_examples_are_repeatable_and_in_no_batch():
    task = synthetic_pairs()[1]["pair_2_b"]
    x, y = task.held_out(6)
    np.testing.assert_array_equal(y, task.held_out(6)[1])
    for index in range(3):
        assert not (x[:, None] == task[index][0]).all(axis=-1).any()


def test_task_batches_take_them():
    tasks, data = synthetic_pairs(input_dim=9)
    batches = task_batches(tasks, data, batch_size=4, seed=0, steps_per_epoch=6)
    seen = []
    for batches.epoch in (0, 1):
        for inputs, y in batches:
            assert inputs["inputs"].shape == (4, 9)
            assert y.shape == (4,)
            seen += inputs["inputs"][:, 0].tolist()
    assert len(set(seen)) == len(seen) == 48


def test_relatedness_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"relatedness must be in \[0, 1\].*1.5"):
        synthetic_pairs(relatedness=1.5)


def test_too_few_directions_are_refused():
    with pytest.raises(ValueError, match="3 pairs of tasks need at least 6 input features.*5"):
        synthetic_pairs(num_pairs=3, input_dim=5)
