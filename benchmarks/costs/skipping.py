"""Latency of a served network whose gates skip blocks, against the same with all gates open.

A ResNet of 8 blocks for images of 32 x 32, one task exported from a network of two. The gates are
made to open for a given share of random images, so this measures what skipping saves, not what
it costs in accuracy. Both forms of an export: blocks that skip closed examples, and a product that
forgets them. Medians over images, interleaved.

    python -m benchmarks.costs.skipping
    python -m benchmarks.costs.skipping --batch 32
"""

import argparse
import shutil
import tempfile
import time
from functools import partial

import keras
import numpy as np
import tensorflow as tf

import keras_mtl
from keras_mtl.layers import InstanceGate, ResidualConv2D
from keras_mtl.layers.averages import mean_of_places

TASKS = {"color": 10, "shape": 10}
CONV = partial(keras.layers.Conv2D, 32, 3, padding="same")
STAGES = [(32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]
LAYERS = [
    CONV,
    *[[partial(ResidualConv2D, filters, strides)] for filters, strides in STAGES],
    keras.layers.GlobalAveragePooling2D,
]


def network(rate, images):
    """Builds a network whose gates open for a share of the images, all for a rate of 1."""
    model = keras_mtl.build_dynashare(
        keras.Input((32, 32, 3)), TASKS, LAYERS, target_rates=0.5, seed=0
    )
    rng = np.random.default_rng(0)
    for gate in [layer for layer in model.layers if isinstance(layer, InstanceGate)]:
        gate.scores.kernel.assign(rng.normal(size=gate.scores.kernel.shape))
        features = keras.Model(model.input, gate.input)(images)
        hidden = keras.ops.relu(gate.normalization(gate.hidden(mean_of_places(features))))
        scores = keras.ops.convert_to_numpy(gate.scores(hidden))
        odds = scores[:, 1] - scores[:, 0] - 1.9  # without the bias that they start with
        closing = -99.0 if rate == 1 else np.quantile(odds, 1 - rate)
        gate.scores.bias.assign([closing, 0.0])
    return model


def served(rate, images, skip_closed, folder):
    path = f"{folder}/{rate}_{skip_closed}/1"
    keras_mtl.export(network(rate, images), path, skip_closed=skip_closed)
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["color"]
    return lambda x: signature(inputs=x)["color"], loaded


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9, 1.0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--calls", type=int, default=300)
    arguments = parser.parse_args()
    images = np.random.default_rng(1).normal(size=(256, 32, 32, 3)).astype("float32")
    images *= np.random.default_rng(2).uniform(0.2, 2.0, (256, 1, 1, 1)).astype("float32")
    folder = tempfile.mkdtemp()
    try:
        forms = {
            (rate, skip): served(rate, images, skip, folder)
            for skip in (True, False)
            for rate in (arguments.rates if skip else [1.0])
        }
        times = {form: [] for form in forms}
        rng = np.random.default_rng(3)
        for call in range(arguments.calls + 20):
            x = tf.constant(images[rng.choice(256, arguments.batch)])
            for form, (predict, _) in forms.items():
                start = time.perf_counter()
                predict(x).numpy()
                if call >= 20:
                    times[form].append(1000 * (time.perf_counter() - start))
    finally:
        shutil.rmtree(folder)
    reference = np.median(times[(1.0, True)])
    print(f"batch {arguments.batch}\nrate  form      median ms  / all gates open")
    for (rate, skip), values in times.items():
        form = "skips" if skip else "product"
        print(f"{rate:4}  {form:8}{np.median(values):11.2f}{np.median(values) / reference:15.2f}")


if __name__ == "__main__":
    main()
