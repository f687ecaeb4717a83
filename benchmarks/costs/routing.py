"""What many components cost in training when each task uses one of them.

The network of "Re-examining Routing Networks": three convolutions of 32 filters and three dense
layers of 64 units. With `separate` data a batch holds one task, as `task_batches` makes them;
with `shared` data all tasks read it. The step is compared with that of one component per layer,
which every task uses. Medians of interleaved rounds, compile time apart.

    python -m benchmarks.costs.routing                      # TensorFlow, graph
    python -m benchmarks.costs.routing --optimizer visited  # without Adam's work on idle ones
    python -m benchmarks.costs.routing --jit                # TensorFlow, XLA
    KERAS_BACKEND=jax python -m benchmarks.costs.routing    # JAX
"""

import argparse
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.costs.steps import compiled_step, first_call, interleaved

FORMS = {
    "separate": {
        "drawn per task": (keras_mtl.build_routing_network, {"draws": "task"}),
        "drawn per example": (keras_mtl.build_routing_network, {"draws": "example"}),
        "fixed random": (keras_mtl.build_fixed_random, {}),
    },
    "shared": {
        "drawn per task": (keras_mtl.build_routing_network, {"draws": "task"}),
        "drawn per example": (keras_mtl.build_routing_network, {"draws": "example"}),
        "fixed random": (keras_mtl.build_fixed_random, {}),
        "no sharing": (keras_mtl.build_no_sharing, {}),
    },
}
SIZES = {"separate": 128, "shared": 16}  # examples of a batch; shared data have a row per task


def layers_of(number):
    conv = [partial(keras.layers.Conv2D, 32, 3, padding="same", activation="relu")] * number
    dense = [partial(keras.layers.Dense, 64, activation="relu")] * number
    pool = partial(keras.layers.MaxPooling2D, 2)
    return [conv, pool, conv, pool, conv, pool, keras.layers.Flatten, dense, dense, dense]


def step_of(build, settings, number, task_data, tasks, jit, optimizer):
    model = build(
        keras.Input((32, 32, 3)), tasks, layers_of(number), task_data=task_data, **settings
    )
    model.compile(keras_mtl.VisitedAdam() if optimizer == "visited" else optimizer, jit_compile=jit)
    rng = np.random.default_rng(0)
    batch = SIZES[task_data]
    x = rng.normal(size=(batch, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 5, batch).astype("int32")
    if task_data == "shared":
        return compiled_step(model, (x, dict.fromkeys(tasks, y)))
    return compiled_step(model, ({"inputs": x, "task_id": np.full(batch, 2, "int32")}, y))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--components", type=int, default=20)
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow graphs with XLA")
    parser.add_argument("--optimizer", default="adam", help="Keras's name, or: visited")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    arguments = parser.parse_args()
    jit = arguments.jit or keras.backend.backend() == "jax"
    tasks = {f"task{number}": 5 for number in range(arguments.components)}
    print(keras.backend.backend(), "XLA" if jit else "graph")
    print("data      form                 ms / step   / one component   first call, s")
    for task_data in arguments.data:
        forms = {"one component": (keras_mtl.build_shared_bottom, {})} | FORMS[task_data]
        steps = {
            form: step_of(
                build,
                settings,
                1 if form == "one component" else arguments.components,
                task_data,
                tasks,
                jit,
                arguments.optimizer,
            )
            for form, (build, settings) in forms.items()
        }
        first = {form: first_call(step) for form, step in steps.items()}
        times = interleaved(steps, arguments.rounds, arguments.steps, warm_up=1)
        for form, values in times.items():
            ratio = np.median(values / times["one component"])
            print(
                f"{task_data:10}{form:20}{np.median(values):10.1f}{ratio:18.2f}{first[form]:16.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
