"""Learned routes against drawn ones: ten tasks of Fashion-MNIST, or twenty of CIFAR-100.

Three convolutions with batch normalization, ReLU and pooling, three dense layers of 64 units, a
head per task. A routed layer has as many components as there are tasks. Accuracy is that of the
frozen network, at the epoch that a tenth of the training part chooses.

Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission, sections 3.2
and 4. Differs from the paper: images of 14 x 14 and 16 filters, of 28 x 28 and 32; few epochs and
a larger learning rate (1e-3); no augmentation; validation chooses the epoch. After a warm-up all
components of a layer begin with the weights of the first.

    KERAS_BACKEND=jax python -m benchmarks.routes.run --data_dir DIR --folder routes
    KERAS_BACKEND=jax python -m benchmarks.routes.run --data_dir DIR --folder euclidean --seeds 1 \\
        --methods "routing, dense" --routing '{"projection": "euclidean"}'
    KERAS_BACKEND=jax python -m benchmarks.routes.run --data_dir DIR --folder cifar \\
        --dataset cifar100

DIR is a folder of TensorFlow Datasets. A finished run is kept in the folder and not run again; the
tables of all runs are printed at the end.
"""

import argparse
import json
import pathlib
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.routes.data import held_out, load
from benchmarks.routes.tables import print_tables
from keras_mtl.layers import RoutingPolicy

DENSE = partial(keras.layers.Dense, 64, activation="relu", kernel_initializer="he_normal")
CONVS, DENSES = ["conv 1", "conv 2", "conv 3"], ["dense 1", "dense 2", "dense 3"]

WPL = keras_mtl.build_routing_network
REINFORCE = partial(WPL, learner="reinforce")
METHODS = {
    "shared bottom": (keras_mtl.build_shared_bottom, []),
    "no sharing": (keras_mtl.build_no_sharing, CONVS + DENSES),
    "fixed random, dense": (keras_mtl.build_fixed_random, DENSES),
    "fixed random, conv 3": (keras_mtl.build_fixed_random, ["conv 3"]),
    "routing, dense": (WPL, DENSES),
    "routing, conv 1": (WPL, ["conv 1"]),
    "routing, dense, REINFORCE": (REINFORCE, DENSES),
    "routing, conv 1, REINFORCE": (REINFORCE, ["conv 1"]),
    "Gumbel-Matrix, dense": (keras_mtl.build_gumbel_matrix, DENSES),
}


def convolution(filters):
    """Returns a component: a convolution with a normalization of its own."""
    return keras.Sequential(
        [
            keras.layers.Conv2D(
                filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    )


def method(name, arguments, warm_up):
    """Returns a method as `keras_mtl.compare` takes it; `warm_up` are batches."""
    builder, routed = METHODS[name]
    learned = arguments.routing | {"warm_up": warm_up} if name.startswith("routing") else {}

    def build(inputs, tasks, **settings):
        num_components = arguments.components or len(tasks)
        conv, layers = partial(convolution, arguments.filters), []
        for layer in CONVS + DENSES:
            make = conv if layer in CONVS else DENSE
            layers.append([make] * num_components if layer in routed else make)
            if layer in CONVS:
                layers.append(partial(keras.layers.MaxPooling2D, 2, padding="same"))
            if layer == CONVS[-1]:
                layers.append(keras.layers.Flatten)
        return builder(inputs, tasks, layers, **settings, **learned)

    return build


class Routes:
    """Looks on while networks train: what becomes of their policies, epoch by epoch."""

    def __init__(self, warm_up):
        self._warm_up, self._recorders = warm_up, {}

    def callbacks(self, model):
        if not any(isinstance(layer, RoutingPolicy) for layer in model.layers):
            return []
        recorder = self._recorders[id(model)] = keras_mtl.AllocationRecorder()
        copies = [keras_mtl.CopyComponents(self._warm_up)] if self._warm_up else []
        return [recorder, *copies]

    def findings(self, model):
        if id(model) not in self._recorders:
            return {}
        seen = self._recorders.pop(id(model)).probabilities
        perplexity = [keras_mtl.analysis.policy_perplexity(epoch) for epoch in seen]
        policies = keras_mtl.allocation_probabilities(model)
        return {
            "perplexity": [[round(float(one), 3) for one in epoch] for epoch in perplexity],
            "policies": [np.round(policy, 4).tolist() for policy in policies],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="fashion_mnist", choices=["fashion_mnist", "cifar100"])
    parser.add_argument("--grouping", default="superclass", choices=["superclass", "alphabetical"])
    parser.add_argument("--data_dir", help="folder of TensorFlow Datasets")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="of finished runs")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--components", type=int, help="of a routed layer; default: per task")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--shrink", type=int, default=2, help="how many times smaller images are")
    parser.add_argument("--policy_rate", type=float, default=0.02, help="of a softmax's scores")
    parser.add_argument(
        "--routing", type=json.loads, default={}, help="settings of learned routes, as JSON"
    )
    parser.add_argument("--warm_up", type=int, default=0, help="epochs, of learned routes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    tasks, train, test = load(arguments.dataset, arguments.data_dir, arguments.grouping)
    train, validation = held_out(train)
    batches = partial(keras_mtl.task_batches, tasks)
    train = batches(train, batch_size=128, seed=0, order="mixed")
    routes, warm_up = Routes(arguments.warm_up), arguments.warm_up * len(train)
    comparison = keras_mtl.compare(
        {name: method(name, arguments, warm_up) for name in arguments.methods},
        keras.Input(train[0][0]["inputs"].shape[1:], dtype="uint8"),
        tasks,
        train=train,
        validation=batches(validation, batch_size=500, order="sequential"),
        test=batches(test, batch_size=500, order="sequential"),
        folder=arguments.folder,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        task_data="separate",
        stem=[
            partial(keras.layers.Rescaling, 1 / 255),
            partial(keras.layers.AveragePooling2D, arguments.shrink),
        ],
        baselines=False,
        optimizer=lambda model: keras_mtl.allocation_optimizer(
            keras.optimizers.Adam(1e-3), arguments.policy_rate
        ),
        callbacks=routes.callbacks,
        findings=routes.findings,
    )
    print_tables(comparison)


if __name__ == "__main__":
    main()
