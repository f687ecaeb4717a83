"""What execution paths cost in training: DynaShare's step against the plain backbone's.

`plain` runs the same blocks and heads in stock layers, once for each task, as DynaShare does: on
a batch that is repeated for every task. `policy` executes 3 of 4 blocks by a fixed policy,
`gates` all of them behind instance gates, `dynashare` both. Medians of interleaved rounds,
compile time apart.

    python -m benchmarks.costs.paths                        # TensorFlow, graph
    python -m benchmarks.costs.paths --jit                  # TensorFlow, XLA
    KERAS_BACKEND=jax python -m benchmarks.costs.paths      # JAX
"""

import argparse
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.costs.steps import compiled_step, first_call, interleaved
from keras_mtl.layers import RepeatRows, ResidualConv2D, ResidualDense, SplitTasks

TASKS = {"a": 10, "b": 10, "c": 10}
POLICY = [[1, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]]
RATES = [0.7] * 4
FORMS = {
    "policy": {"policy": POLICY},
    "gates": {"target_rates": RATES},
    "dynashare": {"policy": POLICY, "target_rates": RATES},
}
BACKBONES = {
    "table": ((486,), 1024, partial(keras.layers.Dense, 256, activation="relu"),
              partial(ResidualDense, 256), ()),
    "images": ((32, 32, 3), 32, partial(keras.layers.Conv2D, 32, 3, padding="same"),
               partial(ResidualConv2D, 32), (keras.layers.GlobalAveragePooling2D,)),
}  # fmt: skip


def plain(shape, first, block, last):
    inputs = keras.Input(shape)
    x = RepeatRows(len(TASKS))(first()(inputs))
    for _ in range(4):
        x = block()(x)
    for layer in last:
        x = layer()(x)
    rows = SplitTasks(len(TASKS))(x)
    outputs = {
        task: keras.layers.Dense(size, activation="softmax", name=task)(row)
        for (task, size), row in zip(TASKS.items(), rows, strict=True)
    }
    return keras.Model(inputs, outputs)


def step_of(form, backbone, jit):
    shape, batch, first, block, last = BACKBONES[backbone]
    if form == "plain":
        model = plain(shape, first, block, last)
    else:
        layers = [first, *[[block]] * 4, *last]
        model = keras_mtl.build_dynashare(keras.Input(shape), TASKS, layers, **FORMS[form])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=jit)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *shape)).astype("float32")
    return compiled_step(model, (x, {task: rng.integers(0, 10, batch) for task in TASKS}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow graphs with XLA")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    jit = arguments.jit or keras.backend.backend() == "jax"
    print(keras.backend.backend(), "XLA" if jit else "graph")
    print("backbone  form        ms / step   / plain")
    for backbone in arguments.backbones:
        steps = {form: step_of(form, backbone, jit) for form in ("plain", *FORMS)}
        for step in steps.values():
            first_call(step)
        times = interleaved(steps, arguments.rounds, arguments.steps, warm_up=1)
        for form, values in times.items():
            ratio = np.median(values / times["plain"])
            print(f"{backbone:10}{form:10}{np.median(values):11.2f}{ratio:10.2f}", flush=True)


if __name__ == "__main__":
    main()
