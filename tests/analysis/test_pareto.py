import pytest

from keras_mtl.analysis import pareto_front


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ({"a": (1, 0.5)}, "a"),
        ({"dear": (3, 0.9), "cheap": (1, 0.5), "between": (2, 0.7)}, "cheap between dear"),
        ({"a": (1, 0.5), "worse at more": (2, 0.4)}, "a"),
        ({"a": (1, 0.5), "as good at more": (2, 0.5)}, "a"),
        ({"worse at the same": (1, 0.4), "a": (1, 0.5)}, "a"),
        ({"a": (1, 0.5), "its equal": (1, 0.5)}, "a its equal"),
        ({"a": (1, -0.5), "b": (2, 0.0)}, "a b"),
        ({}, ""),
    ],
)
def test_front(points, front):
    costs, scores = ({name: point[index] for name, point in points.items()} for index in (0, 1))
    assert " ".join(pareto_front(costs, scores)) == front


def test_costs_and_scores_are_of_the_same_networks():
    with pytest.raises(ValueError, match="costs of a; scores of a, b"):
        pareto_front({"a": 1}, {"a": 1, "b": 2})
