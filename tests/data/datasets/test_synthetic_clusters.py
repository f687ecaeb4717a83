import numpy as np
import pytest

from keras_mtl.data import synthetic_clusters


def functions(**settings):
    """Returns labels without noise and the clusters; each task has examples of its own."""
    return synthetic_clusters(noise=0.0, num_train=4000, **settings)


def products(x, y):
    """Mean of `y x x^T` for labels of -1 and 1: the function that a cluster's tasks share."""
    return np.einsum("n,ni,nj->ij", 2 * y - 1, x, x) / len(x)


def test_shapes_names_and_clusters():
    tasks, train, test, clusters = synthetic_clusters(
        (2, 1), num_disturbing=2, num_train=5, num_test=7, input_dim=6
    )
    names = ["cluster_1_a", "cluster_1_b", "cluster_2_a", "disturbing_1", "disturbing_2"]
    assert list(tasks) == list(train) == list(test) == names
    assert set(tasks.values()) == {"binary"}
    assert clusters.tolist() == [0, 0, 1, -1, -1]
    for part, number in ((train, 5), (test, 7)):
        for x, y in part.values():
            assert (x.shape, x.dtype, y.shape, y.dtype) == (
                (number, 6), "float32", (number,), "float32",
            )  # fmt: skip


def test_tasks_of_a_cluster_are_one_function_of_other_examples():
    _, train, _, clusters = functions(sizes=(2, 2))
    found = [products(x, y) for x, y in train.values()]
    for a in range(4):
        for b in range(a):
            cosine = (found[a] * found[b]).sum() / np.sqrt(
                (found[a] ** 2).sum() * (found[b] ** 2).sum()
            )
            assert (cosine > 0.75) if clusters[a] == clusters[b] else (abs(cosine) < 0.2)
    x = [x for x, _ in train.values()]
    assert not np.isclose(x[0], x[1]).any()


def test_half_of_the_labels_are_true_and_no_single_feature_tells():
    _, train, _, _ = functions()
    for x, y in train.values():
        assert abs(y.mean() - 0.5) < 0.05
        assert np.abs((2 * y - 1) @ x / len(x)).max() < 0.1


def test_disturbing_labels_are_coins():
    _, train, _, _ = functions(num_disturbing=1)
    x, y = train["disturbing_1"]
    assert abs(y.mean() - 0.5) < 0.05
    off_diagonal = products(x, y) - np.diag(np.diag(products(x, y)))
    assert np.abs(off_diagonal).max() < 0.1


def test_noise_turns_labels_round():
    _, clean, _, _ = synthetic_clusters(noise=0.0, num_train=5000)
    _, noisy, _, _ = synthetic_clusters(noise=0.1, num_train=5000)
    turned = np.mean(clean["cluster_1_a"][1] != noisy["cluster_1_a"][1])
    np.testing.assert_array_equal(clean["cluster_1_a"][0], noisy["cluster_1_a"][0])
    assert abs(turned - 0.1) < 0.02


def test_seeds_reproduce():
    again = [synthetic_clusters(seed=seed)[1]["cluster_2_b"][0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": ()}, "sizes must be a tuple of at least 1 sizes"),
        ({"sizes": (2, 0)}, r"sizes\[1\] must be .* at least 1"),
        ({"sizes": (2, 2), "input_dim": 3}, "input_dim must be .* at least 4"),
        ({"noise": 0.6}, r"noise must be a number in \[0, 0.5\]. Received: 0.6"),
    ],
)
def test_settings_that_make_no_sense_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        synthetic_clusters(**settings)
