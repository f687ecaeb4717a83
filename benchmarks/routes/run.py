"""Learned routes against drawn ones: ten tasks of Fashion-MNIST, or twenty of CIFAR-100.

Three convolutions of 32 filters with pooling, two dense layers of 64 units, a head per task. A
routed layer has as many components as there are tasks. Mean accuracy over tasks on the test part
after the last epoch.

Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission, section 4.
Differs from the paper: few epochs and a larger learning rate (1e-3), no batch normalization, whose
statistics would mix tasks, no augmentation; a batch holds one task, which draws its route once.
The policies learn as in its better setting: scores of a softmax, Adam, 0.02. After a warm-up
all components of a layer begin with the weights of the first.

    python -m benchmarks.routes.run --data_dir DIR --results routes.jsonl
    python -m benchmarks.routes.run --data_dir DIR --results routes.jsonl --seeds 1 \\
        --methods "routing, conv 1" --routing '{"projection": "clip", "draws": "example"}'
    python -m benchmarks.routes.run --dataset cifar100 --data_dir DIR --results cifar.jsonl
    python -m benchmarks.routes.tables routes.jsonl

DIR is a folder of TensorFlow Datasets. A finished run is kept and not run again.
"""

import argparse
import json
import pathlib
import time
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.finished_runs import FinishedRuns
from benchmarks.routes.data import load

CONV = partial(
    keras.layers.Conv2D, 32, 3, padding="same", activation="relu", kernel_initializer="he_normal"
)
DENSE = partial(keras.layers.Dense, 64, activation="relu", kernel_initializer="he_normal")
LAYERS = {"conv 1": CONV, "conv 2": CONV, "conv 3": CONV, "dense 1": DENSE, "dense 2": DENSE}
CONVS, DENSES = ["conv 1", "conv 2", "conv 3"], ["dense 1", "dense 2"]

LEARNED = partial(keras_mtl.build_routing_network, projection="softmax", draws="task")
METHODS = {
    "shared bottom": (keras_mtl.build_shared_bottom, []),
    "no sharing": (keras_mtl.build_no_sharing, list(LAYERS)),
    "fixed random, dense": (keras_mtl.build_fixed_random, DENSES),
    "fixed random, conv 3": (keras_mtl.build_fixed_random, ["conv 3"]),
    "routing, conv 1": (LEARNED, ["conv 1"]),
    "routing, conv 1-2-3": (LEARNED, CONVS),
    "Gumbel-Matrix, conv 1": (keras_mtl.build_gumbel_matrix, ["conv 1"]),
    "Gumbel-Matrix, dense": (keras_mtl.build_gumbel_matrix, DENSES),
}


def build(method, tasks, pixels, warm_up, arguments, seed):
    """Returns the compiled network of a method; warm_up are batches."""
    builder, routed = METHODS[method]
    num_components = arguments.components or len(tasks)
    layers = []
    for name, make in LAYERS.items():
        if name == "dense 1":
            layers.append(keras.layers.Flatten)
        layers.append([make] * num_components if name in routed else make)
        if name in CONVS:
            layers.append(partial(keras.layers.MaxPooling2D, 2))
    stem = [partial(keras.layers.Rescaling, 1 / 255)]
    inputs = keras.Input(pixels, dtype="uint8")
    given = arguments.routing | {"warm_up": warm_up} if method.startswith("routing") else {}
    model = builder(inputs, tasks, layers, task_data="separate", stem=stem, seed=seed, **given)
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.Adam(1e-3), arguments.policy_rate)
    jit = keras.backend.backend() == "jax"  # TensorFlow's graphs have the faster convolutions
    model.compile(optimizer, steps_per_execution=10, jit_compile=jit)
    return model


def run(method, seed, data, arguments):
    """Trains one network and returns what is to be known of it."""
    keras.utils.set_random_seed(seed)
    tasks, train, test = data
    batches = keras_mtl.task_batches(tasks, train, batch_size=128, seed=seed)
    test_batches = keras_mtl.task_batches(tasks, test, batch_size=500, order="sequential")
    pixels = next(iter(train.values()))[0].shape[1:]
    model = build(method, tasks, pixels, arguments.warm_up * len(batches), arguments, seed)
    callbacks = [recorder := keras_mtl.AllocationRecorder()]
    if arguments.warm_up and method.startswith("routing"):
        callbacks.append(keras_mtl.CopyComponents(arguments.warm_up))
    start = time.perf_counter()
    model.fit(batches, epochs=arguments.epochs, callbacks=callbacks, verbose=0)
    minutes = (time.perf_counter() - start) / 60
    scores = model.evaluate(test_batches, return_dict=True, verbose=0)
    policies = keras_mtl.allocation_probabilities(model) if METHODS[method][1] else []
    learned = recorder.probabilities if method.startswith("routing") else []
    return {
        "accuracy": 100 * scores["mean_accuracy"],
        "by_task": {task: round(100 * scores[f"{task}_accuracy"], 2) for task in tasks},
        "policies": [np.round(policy, 4).tolist() for policy in policies],
        "perplexity": [keras_mtl.analysis.policy_perplexity(epoch) for epoch in learned],
        "parameters": model.count_params(),
        "minutes": round(minutes, 2),
        "backend": keras.backend.backend(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="fashion_mnist", choices=["fashion_mnist", "cifar100"])
    parser.add_argument("--grouping", default="superclass", choices=["superclass", "alphabetical"])
    parser.add_argument("--data_dir", help="folder of TensorFlow Datasets")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--components", type=int, help="of a routed layer; default: per task")
    parser.add_argument("--policy_rate", type=float, default=0.02, help="of what is learned")
    parser.add_argument(
        "--routing", type=json.loads, default={}, help="settings of learned routes, as JSON"
    )
    parser.add_argument("--warm_up", type=int, default=0, help="epochs, of learned routes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    keep = FinishedRuns(arguments.results)
    data = load(arguments.dataset, arguments.data_dir, arguments.grouping)
    names = ("dataset", "components", "epochs", "policy_rate", "routing", "warm_up")
    settings = {name: getattr(arguments, name) for name in names}
    for seed in range(arguments.seeds):
        for method in arguments.methods:
            key = {"method": method, "seed": seed} | settings
            keep.once(key, partial(run, method, seed, data, arguments))


if __name__ == "__main__":
    main()
