import numpy as np
import pytest

from keras_mtl.data import synthetic_depths, synthetic_example_depths

MAKERS = [synthetic_depths, synthetic_example_depths]


def linear_accuracy(features, labels):
    """Accuracy of least squares on the examples that it has seen."""
    features = np.c_[features, np.ones(len(features))]
    signs = 2 * labels - 1
    found = features @ np.linalg.lstsq(features, signs, rcond=None)[0]
    return ((found > 0) == (labels > 0)).mean()


def products(x):
    """Returns the products of all triples of inputs."""
    places = range(x.shape[1])
    triples = [(i, j, k) for i in places for j in places[i + 1 :] for k in places[j + 1 :]]
    return np.stack([x[:, i] * x[:, j] * x[:, k] for i, j, k in triples], axis=1)


def test_shapes_and_types():
    tasks, train, test, deep = synthetic_depths(num_train=5, num_test=7, input_dim=4)
    names = ["linear", "linear_twin", "product", "product_twin"]
    assert list(tasks) == list(deep) == names and list(deep.values()) == [0, 0, 1, 1]
    for (x, y), number in ((train, 5), (test, 7)):
        assert (x.shape, x.dtype, list(y)) == ((number, 4), "float32", names)
        assert all((label.shape, label.dtype) == ((number,), "float32") for label in y.values())


def test_a_linear_model_reads_off_the_linear_tasks_alone():
    _, _, (x, y), deep = synthetic_depths(num_test=4000)
    for task, label in y.items():
        assert abs(label.mean() - 0.5) < 0.05
        if deep[task]:
            assert linear_accuracy(x, label) < 0.56 < 0.97 < linear_accuracy(products(x), label)
        else:
            assert linear_accuracy(x, label) > 0.9


def test_twins_differ_by_draws_of_training_alone():
    _, (_, train), (_, test), _ = synthetic_depths()
    for task in ("linear", "product"):
        np.testing.assert_array_equal(test[task], test[f"{task}_twin"])
        assert 0.03 < (train[task] != train[f"{task}_twin"]).mean() < 0.3


def test_labels_are_drawn_with_the_log_odds_of_their_function():
    _, (x, y), _, _ = synthetic_depths(num_train=40000, sharpness=2.0, seed=1)
    _, (_, sure), _, _ = synthetic_depths(num_train=40000, sharpness=1e6, seed=1)
    truth = products(x)
    found = truth[:, np.abs(truth.T @ (2 * sure["product"] - 1)).argmax()]
    for low, high in ((-0.6, -0.4), (0.2, 0.4), (0.9, 1.1)):
        inside = (found > low) & (found < high)
        expected = 1 / (1 + np.exp(-2 * (low + high) / 2))
        assert y["product"][inside].mean() == pytest.approx(expected, abs=0.04)


def test_the_first_input_says_which_examples_need_depth():
    _, train, test, deep = synthetic_example_depths(num_train=8000, share=0.3)
    for (x, _), is_deep in zip((train, test), deep, strict=True):
        np.testing.assert_array_equal(is_deep, x[:, 0] > 0)
        assert is_deep.mean() == pytest.approx(0.3, abs=0.04)
    x, label = test[0], test[1]["label"]
    is_deep, rest = deep[1], x[:, 1:]
    assert linear_accuracy(rest[~is_deep], label[~is_deep]) > 0.9
    assert linear_accuracy(rest[is_deep], label[is_deep]) < 0.6
    assert linear_accuracy(products(rest[is_deep]), label[is_deep]) > 0.95


@pytest.mark.parametrize("make", MAKERS)
def test_magnitudes_keep_away_from_0(make):
    x = np.abs(make()[1][0])
    assert x.min() > 0.5 and x.max() < 1.5 and abs(x.mean() - 1) < 0.02


@pytest.mark.parametrize("make", MAKERS)
def test_a_seed_decides_and_test_examples_do_not_depend_on_the_number_for_training(make):
    _, _, (x, y), _ = make(num_train=5, seed=3)
    _, _, (same_x, same_y), _ = make(num_train=6, seed=3)
    np.testing.assert_array_equal(x, same_x)
    for task in y:
        np.testing.assert_array_equal(y[task], same_y[task])
    assert not np.array_equal(x, make(num_train=5, seed=4)[2][0])


@pytest.mark.parametrize("make", MAKERS)
def test_sizes_that_do_not_fit_are_refused(make):
    with pytest.raises(ValueError, match="input_dim must be an integer of at least"):
        make(input_dim=2)
    with pytest.raises(ValueError, match="num_factors must be an integer of at least 2.*1"):
        make(num_factors=1)
    with pytest.raises(ValueError, match="sharpness must be a number above 0"):
        make(sharpness=0)
    with pytest.raises(ValueError, match="num_train must be an integer of at least 1.*0"):
        make(num_train=0)
    with pytest.raises(ValueError, match="seed must be an integer from 0 to .*-1"):
        make(seed=-1)


def test_a_share_is_between_0_and_1():
    with pytest.raises(ValueError, match="share must be a number"):
        synthetic_example_depths(share=1.0)
