"""What an update costs: ratios of training steps, measured side by side in one run.

The network is that of 4-MNIST: 4 components a layer, convolutions 5x5, 3x3, 3x3 of 4 filters.
"by hand" is the same network as shared bottom in plain Keras, a loop of Conv2D and Average.
Medians of interleaved rounds; compile time apart; peak memory in a process of its own.

    python -m benchmarks.costs.updates                        # TensorFlow, graph
    python -m benchmarks.costs.updates --jit                  # TensorFlow, XLA
    KERAS_BACKEND=jax python -m benchmarks.costs.updates      # JAX
"""

import argparse
import subprocess
import sys
import time
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.costs.steps import compiled_step, first_call, interleaved, peak_megabytes

STEPS_PER_EXECUTION = 16


def layers():
    conv = partial(keras.layers.Conv2D, 4, activation="relu")
    pool = partial(keras.layers.AveragePooling2D, 2)
    return [
        [partial(conv, 5)] * 4, pool,
        [partial(conv, 3)] * 4, pool,
        [partial(conv, 3)] * 4, keras.layers.Flatten, partial(keras.layers.Dropout, 0.5),
    ]  # fmt: skip


def tasks(number):
    return {f"task_{index}": 10 for index in range(number)}


def by_hand(jit):
    """Shared bottom with one head, as somebody would write it."""
    image = features = keras.Input((28, 28, 1))
    for index, kernel in enumerate((5, 3, 3)):
        convs = [keras.layers.Conv2D(4, kernel, activation="relu") for _ in range(4)]
        features = keras.layers.Average()([conv(features) for conv in convs])
        if index < 2:
            features = keras.layers.AveragePooling2D(2)(features)
    features = keras.layers.Dropout(0.5)(keras.layers.Flatten()(features))
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(features))
    model.compile(
        keras.optimizers.Adam(0.005),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit,
    )
    return model


def ours(builder, jit, num_tasks=4, steps_per_execution=1, **arguments):
    model = builder(
        keras.Input((28, 28, 1)), tasks(num_tasks), layers(), task_data="separate", **arguments
    )
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.005), 0.005)
    model.compile(optimizer, jit_compile=jit, steps_per_execution=steps_per_execution)
    return model


def batch(size, num_tasks=None):
    """Returns a batch of random images, for one network or for a multi-task one."""
    rng = np.random.default_rng(0)
    images = rng.random((size, 28, 28, 1), "float32")
    labels = rng.integers(0, 10, size).astype("int32")
    if num_tasks is None:
        return images, labels
    return {"inputs": images, "task_id": np.arange(size, dtype="int32") % num_tasks}, labels


CASES = {
    "by hand, 16": lambda jit: (by_hand(jit), batch(16)),
    "gumbel, 16": lambda jit: (ours(keras_mtl.build_gumbel_matrix, jit), batch(16, 4)),
    "gumbel with budget, 16": lambda jit: (
        ours(keras_mtl.build_gumbel_matrix, jit, budget=0.75),
        batch(16, 4),
    ),
    "shared bottom, 16": lambda jit: (ours(keras_mtl.build_shared_bottom, jit), batch(16, 4)),
    "gumbel, 64 tasks, 16": lambda jit: (
        ours(keras_mtl.build_gumbel_matrix, jit, num_tasks=64),
        batch(16, 64),
    ),
    "by hand, 4 x 16": lambda jit: (by_hand(jit), batch(64)),
    "gumbel, 4 x 16": lambda jit: (ours(keras_mtl.build_gumbel_matrix, jit), batch(64, 4)),
    "shared bottom, 4 x 16": lambda jit: (ours(keras_mtl.build_shared_bottom, jit), batch(64, 4)),
}
RATIOS = [
    ("gumbel, 16", "by hand, 16"),
    ("gumbel with budget, 16", "by hand, 16"),
    ("shared bottom, 16", "by hand, 16"),
    ("gumbel, 4 x 16", "by hand, 4 x 16"),
    ("shared bottom, 4 x 16", "by hand, 4 x 16"),
    ("gumbel, 64 tasks, 16", "gumbel, 16"),
]


def time_steps(jit, rounds, steps):
    """Prints the medians of all cases, and the medians of their ratios round by round."""
    functions = {name: compiled_step(*make(jit)) for name, make in CASES.items()}
    first = {name: first_call(step) for name, step in functions.items()}
    times = interleaved(functions, rounds, steps)
    print(f"\n{'one update':26}{'ms':>8}{'first call s':>14}{'peak MB':>9}")
    for name, values in times.items():
        memory = peak_memory(name, jit)
        print(f"{name:26}{np.median(values):8.2f}{first[name]:14.1f}{memory:9.0f}")
    print()
    for one, other in RATIOS:
        ratio = np.median(times[one] / times[other])
        print(f"{one + ' / ' + other:52}{ratio:6.2f}")


def peak_memory(name, jit):
    """Returns the peak megabytes of a process that makes 20 steps of one case."""
    command = [sys.executable, "-m", __spec__.name, "--memory_of", name]
    command += ["--jit"] if jit else []
    return float(subprocess.run(command, capture_output=True, text=True).stdout.split()[-1])


def print_memory(name, jit):
    step = compiled_step(*CASES[name](jit))
    for _ in range(20):
        step()
    print(peak_megabytes())


def time_epochs(jit, rounds, steps):
    """Prints what an epoch of `fit` costs beside the same number of bare compiled steps."""
    model = ours(keras_mtl.build_gumbel_matrix, jit, steps_per_execution=STEPS_PER_EXECUTION)
    rng = np.random.default_rng(0)
    data = {
        name: (rng.random((5000, 28, 28, 1), "float32"), rng.integers(0, 10, 5000))
        for name in tasks(4)
    }
    batches = keras_mtl.task_batches(tasks(4), data, 16, seed=0, steps_per_epoch=steps)
    step = compiled_step(ours(keras_mtl.build_gumbel_matrix, jit), batch(16, 4))
    model.fit(batches, epochs=1, verbose=0)
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        middle = time.perf_counter()
        model.fit(batches, epochs=1, verbose=0)
        ratios.append((time.perf_counter() - middle) / (middle - start))
    label = f"epoch by fit, {STEPS_PER_EXECUTION} steps an execution / bare steps"
    print(f"{label:52}{np.median(ratios):6.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow with XLA")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--memory_of", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    jit = arguments.jit or keras.backend.backend() == "jax"
    if arguments.memory_of:
        print_memory(arguments.memory_of, jit)
        return
    print(f"{keras.backend.backend()}, {'XLA' if jit else 'graph'}")
    time_steps(jit, arguments.rounds, arguments.steps)
    time_epochs(jit, 5, 960)


if __name__ == "__main__":
    main()
