"""What each estimator of a funnel makes of the mean conversion rate, where clicks are a choice.

`keras_mtl.data.synthetic_funnel`: who clicks is likelier to convert, and the conversion rate after
a click is wanted of all examples. Networks without hidden layers: one reads what clicks depend on,
from which conversions are no line; one is given the bend, `|t|`, too, and can be right everywhere.

    KERAS_BACKEND=jax python -m benchmarks.funnels.run

Printed is by how much the mean of `conversion_given_click` over test examples misses the true one,
in percent points, the mean over seeds +- its standard error.
"""

import argparse

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import synthetic_funnel
from keras_mtl.funnels import ESTIMATORS

NETWORKS = ("a line", "a line and its bend")
NUM_TRAIN, BATCH_SIZE, EPOCHS = 50_000, 1000, 6


def misses(seed, networks=NETWORKS):
    """Returns a dict, (estimator, network) -> by how much its mean rate is too high.

    `("clicked", None)` is the rate of conversions among the clicks of the training part, and
    `("expected", None)` what that should be.
    """
    found = {}
    for estimator in ESTIMATORS:
        tasks, (x, y), (x_test, _), truth = synthetic_funnel(
            estimator=estimator, seed=seed, num_train=NUM_TRAIN
        )
        rate = truth["conversion_given_click"]
        for network in networks:
            inputs, asked = x, x_test
            if network == "a line and its bend":
                inputs, asked = (_with_bend(part, truth["direction"]) for part in (x, x_test))
            model = _trained(tasks, inputs, y, seed)
            answers = model.predict(asked, batch_size=5000, verbose=0)["conversion_given_click"]
            found[estimator, network] = float(answers.mean() - rate.mean())
    found["clicked", None] = float(np.nanmean(y["conversion"]) - rate.mean())
    found["expected", None] = float(np.average(rate, weights=truth["click"]) - rate.mean())
    return found


def _with_bend(x, direction):
    return np.concatenate([x, np.abs(x @ direction)[:, None]], axis=1).astype("float32")


def _trained(tasks, x, y, seed):
    keras.utils.set_random_seed(seed)
    model = keras_mtl.build_shared_bottom(keras.Input(x.shape[1:]), tasks, [], seed=seed)
    steps = EPOCHS * len(x) // BATCH_SIZE
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, steps)))
    model.fit(x, y, epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    runs = [misses(seed) for seed in range(parser.parse_args().seeds)]
    print("| | " + " | ".join(NETWORKS) + " |\n|---|---|---|")
    for estimator in ESTIMATORS:
        cells = [_spread([run[estimator, network] for run in runs]) for network in NETWORKS]
        print(f"| `{estimator}` | " + " | ".join(cells) + " |")
    print(f"\nThe rate among clicks: {_spread([run['clicked', None] for run in runs])}, ", end="")
    print(f"expected {_spread([run['expected', None] for run in runs])}")


def _spread(values):
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{100 * np.mean(values):+.2f} ± {100 * error:.2f}"


if __name__ == "__main__":
    main()
