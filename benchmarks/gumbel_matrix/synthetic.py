"""The synthetic experiments of Maziarz et al. 2019, appendix A.

    python -m benchmarks.gumbel_matrix.synthetic pairs --seeds 20     # A3: are the two pairs found?
    python -m benchmarks.gumbel_matrix.synthetic transfer --seeds 10  # A2: when does sharing help?

Settings: inputs of 128 normal numbers, fresh in every batch, batch 64, Adam 0.01, gradients
clipped to norm 1, 3000 batches per task, label noise of standard deviation 0.01. Losses are
mean squared errors, averaged over the last 100 batches of every task.
"""

import argparse
from functools import partial

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import synthetic_pairs

ROUNDS = 100  # batches per task in an epoch, the window of the losses


def mlp(*units, last_activation=None):
    """Returns a callable that makes a dense network with ReLU between its layers."""
    dense = keras.layers.Dense

    def make():
        hidden = [dense(number, activation="relu") for number in units[:-1]]
        return keras.Sequential([*hidden, dense(units[-1], activation=last_activation)])

    return make


def fit(model, tasks, data, seed, rounds=3000):
    """Trains for `rounds` batches per task; returns the loss of every 100."""
    optimizer = keras.optimizers.Adam(0.01, global_clipnorm=1.0)
    model.compile(
        keras_mtl.allocation_optimizer(optimizer, 0.01),
        loss=None if hasattr(model, "tasks") else "mean_squared_error",
        steps_per_execution=50,
    )
    batches = keras_mtl.task_batches(
        tasks, data, batch_size=64, seed=seed, steps_per_epoch=ROUNDS * len(tasks)
    )
    history = model.fit(batches, epochs=rounds // ROUNDS, shuffle=False, verbose=0)
    return np.array(history.history["loss"])


def headless(router, num_components=4):
    """Returns the network of A3: the mean of the components is the answer, without heads."""
    features = keras.Input((128,), name="inputs")
    task_id = keras.Input((), dtype="int32", name="task_id")
    components = [mlp(16, 16, 1)() for _ in range(num_components)]
    answer = keras_mtl.layers.Modular(components)(features, router(task_id))
    return keras.Model({"inputs": features, "task_id": task_id}, answer)


def pairs(seeds):
    """A3: four tasks in two pairs of equal tasks."""
    routers = {
        "gumbel matrix": lambda seed: keras_mtl.layers.AllocationMatrix(
            4, 4, seed=seed, name="allocation_1"
        ),
        "no sharing": lambda seed: keras_mtl.layers.FixedAllocation(np.eye(4)),
    }
    final = {method: [] for method in routers}
    found = []
    for seed in range(seeds):
        tasks, data = synthetic_pairs(num_pairs=2, relatedness=1.0, seed=seed)
        for method, router in routers.items():
            keras.utils.set_random_seed(seed)
            model = headless(router(seed))
            final[method].append(fit(model, tasks, data, seed)[-1])
            if method == "gumbel matrix":
                rows = keras_mtl.allocation(model)[0]
                equal = (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()
                found.append(bool(equal and (rows[0] != rows[2]).any()))
        written = " ".join("".join(str(int(entry)) for entry in row) for row in rows)
        losses = ", ".join(f"{method} {values[-1]:.3f}" for method, values in final.items())
        print(f"seed {seed}: {losses}; rows {written}; found: {found[-1]}", flush=True)
    print(f"\n{'final loss':15}{'mean':>8}{'sd':>8}")
    for method, values in final.items():
        print(f"{method:15}{np.mean(values):8.3f}{np.std(values, ddof=1):8.3f}")
    print(f"Both pairs found, and told apart: {sum(found)} of {seeds} seeds")


def transfer(seeds, figure):
    """A2: two tasks, related or not, that share all components or none."""
    tall = mlp(4, 4, last_activation="relu")
    flat = partial(keras.layers.Dense, 4, activation="relu")
    builders = {
        "shared bottom": keras_mtl.build_shared_bottom,
        "no sharing": partial(keras_mtl.build_no_sharing, partition=["pair_1_a", "pair_1_b"] * 2),
    }
    curves = {}
    for relatedness in (0.0, 1.0):
        for seed in range(seeds):
            tasks, data = synthetic_pairs(num_pairs=1, relatedness=relatedness, seed=seed)
            for method, builder in builders.items():
                keras.utils.set_random_seed(seed)
                layers = [[flat, flat, tall, tall]]
                model = builder(keras.Input((128,)), tasks, layers, task_data="separate", seed=seed)
                curves.setdefault((relatedness, method), []).append(fit(model, tasks, data, seed))
        shared, apart = (np.array(curves[relatedness, method]) for method in builders)
        wins = (shared[:, -1] < apart[:, -1]).sum()
        print(f"relatedness {relatedness:.0f}: ", end="")
        for method, values in zip(builders, (shared, apart), strict=True):
            print(
                f"{method} {values[:, -1].mean():.3f} +- {values[:, -1].std(ddof=1):.3f}, ", end=""
            )
        print(f"shared better in {wins} of {seeds} seeds", flush=True)
    draw(curves, figure)


def draw(curves, path):
    """Draws mean losses with their 90 % confidence intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for (relatedness, method), losses in curves.items():
        losses = np.array(losses)
        mean = losses.mean(axis=0)
        interval = 1.645 * losses.std(axis=0, ddof=1) / np.sqrt(len(losses))
        batches = ROUNDS * np.arange(1, len(mean) + 1)
        panel = panels[int(relatedness)]
        panel.plot(batches, mean, label=method)
        panel.fill_between(batches, mean - interval, mean + interval, alpha=0.25)
        panel.set(title=f"Relatedness {relatedness:.0f}", xlabel="Batches per task")
    panels[0].set_ylabel("Mean squared error")
    panels[0].legend()
    figure.savefig(path, dpi=150)
    print(f"Drawn: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=("pairs", "transfer"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--figure", default="transfer.png", help="where to draw the transfer curves"
    )
    arguments = parser.parse_args()
    if arguments.experiment == "pairs":
        pairs(arguments.seeds)
    else:
        transfer(arguments.seeds, arguments.figure)


if __name__ == "__main__":
    main()
