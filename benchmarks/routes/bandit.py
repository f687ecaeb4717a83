"""Whether policies find the best of ten noisy arms.

    python -m benchmarks.routes.bandit             # no network, only draws and rewards
    python -m benchmarks.routes.bandit --network   # arms are components, heads learn to read them

An arm succeeds in 85 % of the rows, the best one in 95 % or 90 %; a batch has 128 rows. What is
printed is the probability of the best arm and the perplexity after 1500 batches, means over 20
runs, and in how many of these the best arm has more than one half.
"""

import argparse
from functools import partial

import keras
import numpy as np
from keras import ops

import keras_mtl
from keras_mtl.data import synthetic_bandits
from keras_mtl.layers import RoutingPolicy

ARMS, SUCCESS, ROWS = 10, 0.85, 128
RULES = {
    "WPL, clip": {},
    "WPL, Euclidean": {"projection": "euclidean"},
    "REINFORCE, clip": {"learner": "reinforce"},
    "WPL, clip, no floor": {"epsilon": 0.0},
    "WPL, softmax": {"projection": "softmax"},
    "REINFORCE, softmax": {"projection": "softmax", "learner": "reinforce"},
}


class Bandits(keras.Model):
    """As many bandits as the policy has tasks; the best arm of each is another one."""

    def __init__(self, policy, gap):
        super().__init__()
        self.policy = policy
        best = np.arange(policy.num_tasks) % ARMS
        self.chances = SUCCESS + gap * np.eye(ARMS, dtype="float32")[best]
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, task_id, training=False):
        return self.policy(task_id, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        chance = ops.sum(y_pred * ops.take(self.chances, x, axis=0), axis=-1)
        right = keras.random.uniform(ops.shape(chance), seed=self.seed_generator) < chance
        rewards = 2.0 * ops.cast(right, "float32") - 1.0
        return self.policy.learn(rewards, ops.ones_like(rewards))


def learned(settings, gap, runs, batches, softmax_rate):
    """Returns the probabilities of the best arm and the perplexities, one for each run."""
    policy = RoutingPolicy(runs, ARMS, seed=1, **settings)
    bandits = Bandits(policy, gap)
    bandits.compile(keras.optimizers.Adam(softmax_rate))
    task_id = np.repeat(np.arange(runs, dtype="int32"), ROWS)
    for _ in range(batches):
        bandits.train_on_batch(task_id, task_id)
    table = ops.convert_to_numpy(policy.probabilities())
    return of_best(table, np.arange(runs) % ARMS)


def learned_by_network(settings, gap, runs, batches, softmax_rate):
    """Returns the same of a network with as many tasks as there are runs."""
    keras.utils.set_random_seed(0)
    tasks, train, _, chances = synthetic_bandits(runs, ARMS, success=SUCCESS, gap=gap)
    arms = [partial(keras.layers.Cropping1D, (arm, ARMS - 1 - arm)) for arm in range(ARMS)]
    model = keras_mtl.build_routing_network(
        keras.Input((ARMS, 1)), tasks, [arms, keras.layers.Flatten], task_data="separate",
        seed=1, **settings,
    )  # fmt: skip
    model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.01), softmax_rate))
    data = keras_mtl.task_batches(tasks, train, batch_size=ROWS * runs, order="mixed", seed=0)
    model.fit(data, epochs=-(-batches // len(data)), verbose=0)
    return of_best(keras_mtl.allocation_probabilities(model)[0], chances.argmax(axis=1))


def of_best(table, best):
    """Returns the probability of the best arm and the perplexity of each row."""
    table = table.astype("float64")
    perplexity = np.exp(-np.sum(table * np.log(np.maximum(table, 1e-12)), axis=1))
    return table[np.arange(len(table)), best], perplexity


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--batches", type=int, default=1500)
    parser.add_argument("--softmax_rate", type=float, default=0.02, help="of Adam, for scores")
    parser.add_argument("--network", action="store_true", help="arms as components")
    arguments = parser.parse_args()
    learn = learned_by_network if arguments.network else learned
    sizes = (arguments.runs, arguments.batches, arguments.softmax_rate)
    print("| rule | gap | best arm | perplexity | runs above one half |\n|---|---|---|---|---|")
    for rule, settings in RULES.items():
        for gap in (0.10, 0.05):
            best, perplexity = learn(settings, gap, *sizes)
            print(
                f"| {rule} | {gap:.2f} | {best.mean():.3f} | {perplexity.mean():.2f} | "
                f"{(best > 0.5).sum()} of {len(best)} |"
            )


if __name__ == "__main__":
    main()
