"""What estimators of funnels make of data with a known selection.

In the limit of many examples the mean rate of "a line" is 0.061 too low with `"given"`, 0.057 with
`"entire"`, which weighs examples by their clicks too, and 0.003 too high with `"ipw"`.
"""

import numpy as np
import pytest

from benchmarks.funnels.run import NETWORKS, main, misses
from keras_mtl.funnels import ESTIMATORS

SEEDS = (0, 1)
NAMES = [(estimator, network) for estimator in ESTIMATORS for network in NETWORKS]
EQUAL = dict.fromkeys([*NAMES, ("clicked", None), ("expected", None)], 0.03)


def mean_misses(network):
    runs = [misses(seed, [network]) for seed in SEEDS]
    for run in runs:
        assert run["clicked", None] == pytest.approx(run["expected", None], abs=0.02)
        assert run["expected", None] > 0.09
    return {name: np.mean([run[name, network] for run in runs]) for name in ESTIMATORS}


def test_a_network_that_cannot_be_right_is_so_on_average_where_the_choice_is_corrected():
    mean = mean_misses("a line")
    assert abs(mean["ipw"]) < 0.02 and abs(mean["dr"]) < 0.02
    assert mean["given"] == pytest.approx(-0.061, abs=0.015)
    assert mean["entire"] == pytest.approx(-0.057, abs=0.015)


@pytest.mark.slow
def test_a_network_that_can_be_right_is_with_every_estimator():
    mean = mean_misses("a line and its bend")
    assert max(map(abs, mean.values())) < 0.025


def test_the_table_is_printed(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.funnels.run.misses", lambda seed: EQUAL)
    monkeypatch.setattr("sys.argv", ["run", "--seeds", "2"])
    main()
    printed = capsys.readouterr().out
    assert "| `ipw` | +3.00 ± 0.00 | +3.00 ± 0.00 |" in printed
    assert "The rate among clicks: +3.00 ± 0.00, expected +3.00 ± 0.00" in printed
