"""What a step of MMoE costs: this package's network against one written by hand.

The shape is that of Census-Income: 486 features, 8 experts of 64 ReLU units, 3 binary tasks with
towers of 32 units, batches of 1024. "by hand" is MMoE as somebody would write it in Keras: a loop
of Dense layers, a softmax gate per task, stack and einsum; the loss is the same stock one. The
other methods stand beside it: what their gates cost more. Medians of interleaved rounds, compile
time apart.

    python benchmarks/experts.py                        # TensorFlow, graph
    python benchmarks/experts.py --jit                  # TensorFlow, XLA
    KERAS_BACKEND=jax python benchmarks/experts.py      # JAX
"""

import argparse
from functools import partial

import keras
import numpy as np
from keras import ops
from steps import compiled_step, first_call, interleaved

import keras_mtl

FEATURES, UNITS, TOWER = 486, 64, 32
TASKS = {"income": "binary", "never_married": "binary", "college": "binary"}


def by_hand(num_experts):
    inputs = keras.Input((FEATURES,))
    experts = [keras.layers.Dense(UNITS, "relu")(inputs) for _ in range(num_experts)]
    experts = ops.stack(experts, axis=1)
    outputs = {}
    for task in TASKS:
        gate = keras.layers.Dense(num_experts, "softmax")(inputs)
        features = ops.einsum("be,beu->bu", gate, experts)
        features = keras.layers.Dense(TOWER, "relu")(features)
        outputs[task] = keras.layers.Dense(1, "sigmoid", name=task)(features)
    return keras.Model(inputs, outputs)


def ours(builder, num_experts, **settings):
    expert = partial(keras.layers.Dense, UNITS, activation="relu")
    return builder(
        keras.Input((FEATURES,)), TASKS, [[expert] * num_experts], tower_units=(TOWER,), **settings
    )


FORMS = {
    "by hand": by_hand,
    "build_mmoe": partial(ours, keras_mtl.build_mmoe),
    "build_mmoeex": partial(ours, keras_mtl.build_mmoeex, seed=0),
    "build_ple": partial(ours, keras_mtl.build_ple),
    "build_moe": partial(ours, keras_mtl.build_moe),
    "build_dselect_k": partial(ours, keras_mtl.build_dselect_k),
}


def step_of(form, num_experts, batch, jit):
    model = FORMS[form](num_experts)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", jit_compile=jit)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, FEATURES)).astype("float32")
    y = {task: rng.integers(0, 2, (batch, 1)).astype("float32") for task in TASKS}
    return compiled_step(model, (x, y))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", type=int, nargs="+", default=[8])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow graphs with XLA")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    jit = arguments.jit or keras.backend.backend() == "jax"
    print(keras.backend.backend(), "XLA" if jit else "graph", f"batch {arguments.batch}")
    print("experts  form             ms / step  / by hand  first call s")
    for number in arguments.experts:
        forms = dict.fromkeys(["by hand", *arguments.forms])
        steps = {form: step_of(form, number, arguments.batch, jit) for form in forms}
        first = {form: first_call(step) for form, step in steps.items()}
        times = interleaved(steps, arguments.rounds, arguments.steps, warm_up=1)
        for form, values in times.items():
            ratio = np.median(values / times["by hand"])
            print(f"{number:7}  {form:17}{np.median(values):9.2f}{ratio:11.2f}{first[form]:14.1f}")


if __name__ == "__main__":
    main()
