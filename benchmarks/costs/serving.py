"""What serving costs: a frozen one-task SavedModel beside a hand-written network.

Both hold the same layers: the components that one task of a 4-MNIST network uses. Latency is
that of the loaded SavedModel's signature, medians of interleaved rounds; bytes are those of
the files. The dense network, which computes every component, stands beside for scale.

    python -m benchmarks.costs.serving
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

import keras_mtl
from benchmarks.costs.updates import layers, tasks


def trained_like_network():
    """Returns a network whose first task uses 2, 3 and 1 of 4 components."""
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((28, 28, 1)), tasks(4), layers(), task_data="separate", seed=0
    )
    rng = np.random.default_rng(0)
    for index, used in enumerate((2, 3, 1), start=1):
        logits = model.get_layer(f"allocation_{index}").row_blocks[0]
        values = rng.normal(size=logits.shape)
        values[0, :, 0], values[0, :, 1] = np.where(np.arange(4) < used, 9.0, -9.0), 0.0
        logits.assign(values)
    return model


def by_hand():
    """Returns the network of the first task, as somebody would write it."""
    image = features = keras.Input((28, 28, 1), name="inputs")
    for index, (kernel, used) in enumerate(zip((5, 3, 3), (2, 3, 1), strict=True)):
        convs = [keras.layers.Conv2D(4, kernel, activation="relu") for _ in range(used)]
        outputs = [conv(features) for conv in convs]
        features = keras.layers.Average()(outputs) if used > 1 else outputs[0]
        if index < 2:
            features = keras.layers.AveragePooling2D(2)(features)
    output = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(features))
    return keras.Model(image, output)


def dense(model):
    """Returns the trained network itself as a network of one task, nothing frozen."""
    image = keras.Input((28, 28, 1), name="inputs")
    task_id = keras.layers.Lambda(lambda x: keras.ops.zeros_like(x[:, 0, 0, 0], dtype="int32"))
    return keras.Model(image, model({"inputs": image, "task_id": task_id(image)}))


def save(model, path):
    archive = keras.export.ExportArchive()
    specification = [tf.TensorSpec((None, 28, 28, 1), tf.float32, name="inputs")]
    archive.add_endpoint("serving_default", model.__call__, specification)
    archive.write_out(str(path), verbose=False)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=100)
    arguments = parser.parse_args()
    trained = trained_like_network()
    models = {
        "by hand": by_hand(),
        "frozen": keras_mtl.freeze(trained, "task_0"),
        "dense": dense(trained),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: pathlib.Path(folder) / name.replace(" ", "_") for name in models}
        sizes = {name: save(model, paths[name]) for name, model in models.items()}
        loaded = {name: tf.saved_model.load(str(path)) for name, path in paths.items()}
        calls = {name: archive.signatures["serving_default"] for name, archive in loaded.items()}
        for name in ("frozen", "dense"):
            print(f"bytes, {name} / by hand: {sizes[name] / sizes['by hand']:.3f}")
        for batch_size in (1, 64):
            images = tf.random.uniform((batch_size, 28, 28, 1))
            times = {name: [] for name in calls}
            for _ in range(arguments.rounds):
                for name, call in calls.items():
                    call(inputs=images)
                    start = time.perf_counter()
                    for _ in range(arguments.calls):
                        call(inputs=images)
                    times[name].append((time.perf_counter() - start) / arguments.calls)
            for name in ("frozen", "dense"):
                ratio = np.median(np.array(times[name]) / np.array(times["by hand"]))
                milliseconds = 1000 * np.median(times[name])
                print(f"latency, batch {batch_size}, {name} / by hand: {ratio:.3f}", end="")
                print(f" ({milliseconds:.2f} ms)")


if __name__ == "__main__":
    main()
