"""What routing over time costs: training steps of a recurrent modular encoder, side by side.

`fused` is `RecurrentModular(cell)`; `stepped` the same cell in `keras.layers.RNN`; `bare` has the
same LSTM layers and sub-encoders, which read the mean of all below, without routers. The sizes
are those of the paper's three experiments. Medians of interleaved rounds, compile time apart.

    python -m benchmarks.costs.recurrent                        # TensorFlow, graph
    python -m benchmarks.costs.recurrent --jit                  # TensorFlow, XLA
    KERAS_BACKEND=jax python -m benchmarks.costs.recurrent      # JAX
    python -m benchmarks.costs.recurrent --lengths 28 64 128 256 512
"""

import argparse
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from benchmarks.costs.steps import compiled_step, first_call, interleaved
from keras_mtl.layers import MLP, RecurrentModular, RecurrentModularCell

NUM_CELLS, NUM_SUB_ENCODERS, BATCH = 4, (3, 3), 32


class Size(NamedTuple):
    features: int
    cell_units: int
    units: tuple


SIZES = {
    5: Size(10, 5, (5, 5)),
    50: Size(50, 50, (32, 32)),
    256: Size(76, 256, (128, 128)),
}


def new_cell(size):
    return RecurrentModularCell(NUM_CELLS, size.cell_units, NUM_SUB_ENCODERS, size.units, seed=0)


def fused(x, size):
    outputs, _ = RecurrentModular(new_cell(size))(x)
    return ops.concatenate([outputs[:, -1, i] for i in range(sum(NUM_SUB_ENCODERS))], axis=-1)


def stepped(x, size):
    unroll = keras.backend.backend() == "jax"  # where a scan cannot draw
    return keras.layers.RNN(new_cell(size), return_sequences=True, unroll=unroll)(x)[:, -1]


def bare(x, size):
    lstms = [keras.layers.LSTM(size.cell_units, return_sequences=True) for _ in range(NUM_CELLS)]
    below, outputs = [lstm(x) for lstm in lstms], []
    for number in NUM_SUB_ENCODERS:
        mean = keras.layers.Average()(below)
        below = [MLP(size.units)(mean) for _ in range(number)]
        outputs += below
    return ops.concatenate([output[:, -1] for output in outputs], axis=-1)


def step_of(form, size, length, jit):
    inputs = keras.Input((length, size.features))
    model = keras.Model(inputs, keras.layers.Dense(3)(form(inputs, size)))
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=jit)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, length, size.features)).astype("float32")
    return compiled_step(model, (x, rng.normal(size=(BATCH, 3)).astype("float32")))


def compare(forms, size, length, arguments, reference):
    steps = {name: step_of(form, size, length, arguments.jit) for name, form in forms.items()}
    first = {name: first_call(step) for name, step in steps.items()}
    times = interleaved(steps, arguments.rounds, arguments.steps, warm_up=1)
    for name, values in times.items():
        ratio = np.median(values / times[reference])
        print(f"{size.cell_units:5}{length:8}  {name:8}{np.median(values):10.2f}", end="")
        print(f"{first[name]:14.1f}{ratio:12.2f}", flush=True)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--lengths", type=int, nargs="+", default=[28])
    parser.add_argument("--forms", nargs="+", default=["bare", "fused", "stepped"])
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow graphs with XLA")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    arguments.jit = arguments.jit or keras.backend.backend() == "jax"
    forms = {
        name: {"bare": bare, "fused": fused, "stepped": stepped}[name] for name in arguments.forms
    }
    reference = arguments.forms[0]
    print(keras.backend.backend(), "XLA" if arguments.jit else "graph")
    print(f"units   steps  form      ms / step  first call s  / {reference}")
    for units in arguments.units:
        for length in arguments.lengths:
            compare(forms, SIZES[units], length, arguments, reference)


if __name__ == "__main__":
    main()
