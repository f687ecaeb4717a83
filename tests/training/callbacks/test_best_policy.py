from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import AnnealingSchedule, BestPolicy, PolicyPhases
from keras_mtl.layers import ResidualDense

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = {"a": np.arange(8) % 2, "b": np.arange(8) % 3}
PHASES = PolicyPhases(weights=1, policy=1)


def network(temperature=0.1, cycles_per_block=1, build=keras_mtl.build_adashare, **settings):
    blocks = [[partial(ResidualDense, 3)]] * 3
    if build is keras_mtl.build_adashare:
        settings |= {"phases": PHASES, "temperature": temperature}
        settings |= {"cycles_per_block": cycles_per_block}
    model = build(keras.Input((3,)), {"a": 2, "b": 3}, blocks, seed=0, **settings)
    model.compile(keras.optimizers.SGD(0.1))
    return model


class Given(keras.callbacks.Callback):
    """Logs values by hand, and counts the epochs in a weight."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.values[epoch]
        self.model.get_layer("policy_3").row_blocks[0].assign(np.full((2, 1, 2), epoch))


def chosen(values, model=None, **settings):
    """Returns the epoch that was chosen, and the one whose weights the network ends with."""
    model = network() if model is None else model
    best = BestPolicy(**settings)
    model.fit(X, Y, batch_size=4, epochs=len(values), callbacks=[Given(values), best], verbose=0)
    return best.epoch, int(model.get_layer("policy_3").row_blocks[0].numpy()[0, 0, 0])


def test_the_best_epoch_is_of_those_in_which_all_blocks_are_free():
    # A block becomes free with every cycle of two batches, an epoch: the first at the second's end.
    assert chosen([1.0, 5.0, 4.0, 3.0, 6.0]) == (3, 3)
    assert chosen([9.0, 5.0, 4.0, 3.0, 6.0], mode="max") == (4, 4)
    assert chosen([1.0, 5.0, float("nan"), 3.0, 3.0]) == (3, 3)


def test_the_best_epoch_is_of_those_at_a_low_temperature():
    schedule = AnnealingSchedule(10.0, 0.1)  # by ten with every second epoch
    assert chosen([1.0, 2.0, 5.0, 4.0], network(schedule, 0))[0] == 3


def test_hard_draws_have_no_temperature():
    assert chosen([1.0, 5.0, 2.0, 3.0], network(5.0, 0, hard=True)) == (0, 0)


def test_where_no_policy_could_be_taken_the_network_stays_and_it_warns():
    with pytest.warns(UserWarning, match="no epoch whose policy could be taken: .*batch 4.*more"):
        assert chosen([1.0]) == (None, 0)
    with pytest.warns(UserWarning, match="temperature, 5, training executes blocks in part"):
        assert chosen([1.0, 2.0], network(5.0, 0)) == (None, 1)


def test_it_watches_a_log_of_a_network_with_a_policy():
    with pytest.raises(ValueError, match="BestPolicy watches 'val_auc', which the logs do not"):
        chosen([1.0], monitor="val_auc")
    with pytest.raises(ValueError, match="learns none. Give it to fit of a model of .*adashare"):
        network(build=keras_mtl.build_dynashare).fit(X, Y, callbacks=[BestPolicy()], verbose=0)
    with pytest.raises(ValueError, match='mode must be "min" or "max"'):
        BestPolicy(mode="best")
    with pytest.raises(ValueError, match="monitor must be the name of a log"):
        BestPolicy(None)
