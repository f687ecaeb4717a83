"""Four tasks discover which components to share, and are served without the search.

Two tasks read upright handwritten digits, two read digits turned by 90 degrees; no two
tasks see the same training images. Gumbel-Matrix learns who shares what, next to the
baselines single task, shared bottom, no sharing and fixed random. The learned allocation
is drawn, frozen, exported as a SavedModel, loaded as a server would load it, and checked.

    python examples/digits.py              # one seed, under 4 minutes on 2 cores
    python examples/digits.py --seeds 10   # ten seeds: means, spread, what was found
"""

import argparse
import pathlib
import time
from functools import partial

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits

import keras_mtl

TASKS = {"upright": 10, "upright_again": 10, "rotated": 10, "rotated_again": 10}
METHODS = ("single task", "shared bottom", "no sharing", "fixed random", "gumbel matrix")
BATCH_SIZE = 16
TEST_SIZE = 500
PER_TASK = 300


def load_tasks():
    """Returns training and test data: dicts, task -> (images, labels)."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    turned = np.rot90(images, -1, axes=(1, 2))
    first, second = slice(TEST_SIZE, TEST_SIZE + PER_TASK), slice(TEST_SIZE + PER_TASK, None)
    second = slice(second.start, second.start + PER_TASK)
    parts = {
        "upright": (images, first),
        "upright_again": (images, second),
        "rotated": (turned, first),
        "rotated_again": (turned, second),
    }
    train = {name: (x[part], labels[part]) for name, (x, part) in parts.items()}
    test = {name: (x[:TEST_SIZE], labels[:TEST_SIZE]) for name, (x, _) in parts.items()}
    return train, test


def build(method, tasks, seed):
    """Returns the compiled network of one method."""
    conv = partial(keras.layers.Conv2D, 8, 3, padding="same", activation="relu")
    pool = partial(keras.layers.AveragePooling2D, 2)
    dropout = partial(keras.layers.Dropout, 0.25)
    layers = [[conv] * 4, pool, [conv] * 4, pool, [conv] * 4, keras.layers.Flatten, dropout]
    builders = {
        "single task": keras_mtl.build_shared_bottom,
        "shared bottom": keras_mtl.build_shared_bottom,
        "no sharing": keras_mtl.build_no_sharing,
        "fixed random": partial(keras_mtl.build_fixed_random, components_per_task=2),
        "gumbel matrix": partial(keras_mtl.build_gumbel_matrix, init_probability=0.8),
    }
    image = keras.Input((8, 8, 1))
    model = builders[method](image, tasks, layers, task_data="separate", seed=seed)
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.005), 0.02)
    model.compile(optimizer, steps_per_execution=100)
    return model


def train(method, tasks, train_data, test_data, seed, updates, verbose):
    """Trains one network on some of the tasks; returns it with its test logs."""
    keras.utils.set_random_seed(seed)
    data = {name: train_data[name] for name in tasks}
    epochs = 4
    steps = updates * len(tasks) // len(TASKS) // epochs
    batches = keras_mtl.task_batches(tasks, data, BATCH_SIZE, seed=seed, steps_per_epoch=steps)
    test = {name: test_data[name] for name in tasks}
    test_batches = keras_mtl.task_batches(tasks, test, 500, order="sequential")
    model = build(method, tasks, seed)
    model.fit(batches, epochs=epochs, verbose=verbose)
    return model, model.evaluate(test_batches, return_dict=True, verbose=0)


def run_method(method, train_data, test_data, seed, updates, verbose=0):
    """Returns the network, the accuracy by task, and parameters used by task."""
    if method != "single task":
        model, logs = train(method, TASKS, train_data, test_data, seed, updates, verbose)
        parameters = keras_mtl.sharing_report(model).parameters
        return model, {name: logs[f"{name}_accuracy"] for name in TASKS}, parameters
    accuracy, parameters = {}, {}
    for name in TASKS:
        alone = {name: TASKS[name]}
        model, logs = train(method, alone, train_data, test_data, seed, updates, verbose)
        accuracy[name] = logs[f"{name}_accuracy"]
        parameters[name] = model.count_params()
    return model, accuracy, parameters


def pair_distances(model):
    """Returns mean Hamming distances of the tasks' rows: within and across pairs."""
    rows = keras_mtl.task_embeddings(model)
    distance = np.abs(rows[:, None] - rows[None]).sum(axis=-1)
    within = (distance[0, 1] + distance[2, 3]) / 2
    return within, distance[:2, 2:].mean()


def print_table(results):
    """Prints accuracy by task, active connections and parameters used by a task."""
    names = [*TASKS, "mean"]
    print(f"\n{'accuracy in %':15}" + "".join(f"{name:>15}" for name in names), end="")
    print(f"{'active':>9}{'parameters':>12}")
    for method, (model, accuracy, parameters) in results.items():
        values = [*accuracy.values(), np.mean(list(accuracy.values()))]
        active = np.mean(keras_mtl.task_embeddings(model))
        row = "".join(f"{100 * value:15.1f}" for value in values)
        print(f"{method:15}{row}{active:9.0%}{np.mean(list(parameters.values())):12.0f}")


def draw(model, folder):
    """Draws who uses what, and how alike the tasks are."""
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    keras_mtl.plots.plot_allocation(model).figure.savefig(folder / "allocation.png", dpi=150)
    axes = keras_mtl.plots.plot_task_similarity(model)
    axes.figure.savefig(folder / "task_similarity.png", dpi=150)
    print(f"\nDrawn: {folder}/allocation.png and {folder}/task_similarity.png")


def serve(model, test_data, path):
    """Freezes, exports as the next version, loads and compares the answers."""
    versions = [int(folder.name) for folder in path.glob("[0-9]*")]
    path = path / str(max(versions, default=0) + 1)
    keras_mtl.export(model, path)
    served = keras_mtl.load_served(path)
    worst = 0.0
    for name in TASKS:
        images, _ = test_data[name]
        ids = np.full(len(images), list(TASKS).index(name), "int32")
        expected = model.predict({"inputs": images, "task_id": ids}, verbose=0)
        worst = max(worst, np.abs(served.predict(name, images) - expected).max())
    kilobytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1024
    print(f"Served from {path}: {', '.join(served.tasks)}; {kilobytes:.0f} kB")
    print(f"Largest difference between the served and the trained network: {worst:.1e}")
    if worst > 1e-5:
        raise SystemExit("The served network does not answer as the trained one.")


def one_seed(arguments, train_data, test_data):
    results = {}
    for method in METHODS:
        print(f"\n{method}")
        results[method] = run_method(method, train_data, test_data, 0, arguments.updates, 1)
    print_table(results)
    model = results["gumbel matrix"][0]
    print("\n" + str(keras_mtl.sharing_report(model)))
    within, across = pair_distances(model)
    print(f"\nRows differ in {within:.2f} of 12 entries within a pair, {across:.2f} across pairs.")
    draw(model, arguments.out / "figures")
    serve(model, test_data, arguments.out / "saved_models" / "digits")


def many_seeds(arguments, train_data, test_data):
    means = {method: [] for method in METHODS}
    distances = []
    for seed in range(arguments.seeds):
        start = time.time()
        for method in METHODS:
            model, accuracy, _ = run_method(method, train_data, test_data, seed, arguments.updates)
            means[method].append(100 * np.mean(list(accuracy.values())))
        distances.append(pair_distances(model))
        scores = ", ".join(f"{method} {values[-1]:.1f}" for method, values in means.items())
        print(
            f"seed {seed} ({time.time() - start:.0f} s): {scores}; rows {distances[-1]}", flush=True
        )
    print(f"\n{'accuracy in %':15}{'mean':>8}{'sd':>7}{'median':>8}{'worst':>8}")
    for method, values in means.items():
        numbers = np.mean(values), np.std(values, ddof=1), np.median(values), np.min(values)
        print(f"{method:15}{numbers[0]:8.2f}{numbers[1]:7.2f}{numbers[2]:8.2f}{numbers[3]:8.2f}")
    within, across = np.array(distances).T
    gain = np.array(means["gumbel matrix"]) - np.array(means["shared bottom"])
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"\nOurs minus shared bottom: {gain.mean():+.2f} points, standard error {error:.2f};")
    print(
        f"better in {(gain > 0).sum()}, equal in {(gain == 0).sum()}, worse in {(gain < 0).sum()}."
    )
    print(f"Rows nearer within pairs than across: {(within < across).sum()} of {len(within)} seeds")
    print(f"(mean distance {within.mean():.2f} within, {across.mean():.2f} across).")
    print(f"Rows identical within both pairs: {(within == 0).sum()} of {len(within)} seeds.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--updates", type=int, default=7200, help="updates per method")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("."), help="folder")
    arguments = parser.parse_args()
    data = load_tasks()
    (one_seed if arguments.seeds == 1 else many_seeds)(arguments, *data)


if __name__ == "__main__":
    main()
