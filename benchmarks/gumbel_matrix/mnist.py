"""4-MNIST: two tasks read upright digits, two read the same digits turned by 90 degrees.

Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-A and appendix B:
convolutions 5x5, 3x3, 3x3 of 4 filters, 4 components each, batch 16, Adam 0.005 for weights
and logits, dropout 0.5, 10 epochs per task. MNIST comes from TensorFlow Datasets.

    python -m benchmarks.gumbel_matrix.mnist --data_dir DIR --epochs 10 --results mnist.jsonl
    python -m benchmarks.gumbel_matrix.mnist --results mnist.jsonl --table
"""

import argparse
import json
import pathlib
import time
from functools import partial

import keras
import numpy as np

import keras_mtl

TASKS = {"upright": 10, "upright_again": 10, "rotated": 10, "rotated_again": 10}
METHODS = {
    "shared bottom": keras_mtl.build_shared_bottom,
    "no sharing": keras_mtl.build_no_sharing,
    "gumbel matrix": keras_mtl.build_gumbel_matrix,
    "gumbel matrix, budget 0.75": partial(keras_mtl.build_gumbel_matrix, budget=0.75),
}


def load_tasks(data_dir):
    """Returns training and test data: dicts, task -> (uint8 images, labels)."""
    import tensorflow_datasets as tfds

    loaded = tfds.load("mnist", data_dir=data_dir, batch_size=-1)
    splits = []
    for split in ("train", "test"):
        images, labels = (np.asarray(loaded[split][key]) for key in ("image", "label"))
        turned = np.ascontiguousarray(np.rot90(images, -1, axes=(1, 2)))
        views = {"upright": images, "rotated": turned}
        splits.append({name: (views[name.removesuffix("_again")], labels) for name in TASKS})
    return splits


def build(method, seed):
    """Returns the compiled network of one method."""
    conv = partial(keras.layers.Conv2D, 4, activation="relu")
    pool = partial(keras.layers.AveragePooling2D, 2)
    dropout = partial(keras.layers.Dropout, 0.5)
    layers = [
        [partial(conv, 5)] * 4, pool,
        [partial(conv, 3)] * 4, pool,
        [partial(conv, 3)] * 4, keras.layers.Flatten, dropout,
    ]  # fmt: skip
    pixels = keras.Input((28, 28, 1), dtype="uint8")
    stem = [partial(keras.layers.Rescaling, 1 / 255)]
    model = METHODS[method](pixels, TASKS, layers, task_data="separate", stem=stem, seed=seed)
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.005), 0.005)
    model.compile(optimizer, steps_per_execution=100)
    return model


def run(method, seed, epochs, train, test):
    """Trains one network and returns what is to be known of it."""
    keras.utils.set_random_seed(seed)
    batches = keras_mtl.task_batches(TASKS, train, batch_size=16, seed=seed)
    test_batches = keras_mtl.task_batches(TASKS, test, batch_size=500, order="sequential")
    model = build(method, seed)
    start = time.time()
    history = model.fit(
        batches, epochs=epochs, validation_data=test_batches, validation_freq=2, verbose=0
    )
    rows = keras_mtl.task_embeddings(model)
    distance = np.abs(rows[:, None] - rows[None]).sum(axis=-1)
    return {
        "method": method,
        "seed": seed,
        "epochs": epochs,
        "accuracy": [round(100 * value, 2) for value in history.history["val_mean_accuracy"]],
        "active": float(rows.mean()),
        "within": float(distance[0, 1] + distance[2, 3]) / 2,
        "across": float(distance[:2, 2:].mean()),
        "minutes": round((time.time() - start) / 60, 1),
        "backend": keras.backend.backend(),
    }


def print_table(results):
    """Prints mean, spread, median and worst seed by method, and what was found."""
    print(f"{'accuracy in %':28}{'seeds':>6}{'mean':>8}{'sd':>6}{'median':>8}{'worst':>8}", end="")
    print(f"{'active':>9}  pairs found")
    for method in METHODS:
        runs = [result for result in results if result["method"] == method]
        if not runs:
            continue
        final = np.array([result["accuracy"][-1] for result in runs])
        found = sum(result["within"] == 0 < result["across"] for result in runs)
        spread = final.std(ddof=1) if len(final) > 1 else float("nan")
        active = np.mean([result["active"] for result in runs])
        print(f"{method:28}{len(runs):6}{final.mean():8.2f}{spread:6.2f}", end="")
        print(f"{np.median(final):8.2f}{final.min():8.2f}{active:9.1%}  {found} of {len(runs)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of TensorFlow Datasets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--results", type=pathlib.Path, default="mnist.jsonl")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    results = [json.loads(line) for line in lines]
    if not arguments.table:
        train, test = load_tasks(arguments.data_dir)
        done = {(result["method"], result["seed"]) for result in results}
        for seed in range(arguments.seeds):
            for method in METHODS:
                if (method, seed) not in done:
                    results.append(run(method, seed, arguments.epochs, train, test))
                    print(results[-1], flush=True)
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(results[-1]) + "\n")
    print_table(results)


if __name__ == "__main__":
    main()
