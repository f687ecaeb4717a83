"""Who needs depth is known: do AdaShare's policies, and DynaShare's gates, find it?

Prints, for each seed, with what chance each task executes each block; then which part of the
examples that need depth, and of the others, each gate lets through, and the accuracy.

    KERAS_BACKEND=jax python -m benchmarks.execution_paths.depths --seeds 5
    KERAS_BACKEND=jax python -m benchmarks.execution_paths.depths --seeds 5 --final 2.1
"""

import argparse
from functools import partial

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import alternating_batches, synthetic_depths, synthetic_example_depths
from keras_mtl.layers import InstanceGate, ResidualDense

UNITS, BATCH_SIZE, LEARNING_RATE = 16, 64, 0.005
PHASES = keras_mtl.PolicyPhases(warm_up=300, weights=30, policy=30)
STEM = partial(keras.layers.Dense, UNITS)
BLOCK = partial(ResidualDense, UNITS)


def policies(seed, final, cycles, **settings):
    """Returns the chances to execute blocks, a row for each task, and the test's logs."""
    keras.utils.set_random_seed(seed)
    tasks, (x, y), test, _ = synthetic_depths(seed=seed)
    cut = int(0.8 * len(x))
    parts = [
        (x[rows], {task: labels[rows] for task, labels in y.items()})
        for rows in (slice(0, cut), slice(cut, None))
    ]
    model = keras_mtl.build_adashare(
        keras.Input(x.shape[1:]), tasks, [STEM, *[[BLOCK]] * 3], phases=PHASES, seed=seed,
        temperature=keras_mtl.AnnealingSchedule(final=final, start=PHASES.warm_up), **settings,
    )  # fmt: skip
    weights, policy = keras.optimizers.Adam(LEARNING_RATE), keras.optimizers.Adam(0.02)
    model.compile(keras_mtl.alternating_optimizer(weights, policy, PHASES), steps_per_execution=30)
    epochs = PHASES.start_of_cycle(cycles) // PHASES.cycle_length
    model.fit(alternating_batches(*parts, PHASES, BATCH_SIZE, seed), epochs=epochs, verbose=0)
    logs = model.evaluate(*test, verbose=0, return_dict=True)
    return dict(zip(tasks, np.hstack(keras_mtl.allocation_probabilities(model)), strict=True)), logs


def gates(seed, temperature):
    """Returns the opening rates of two gates, of examples with depth and without, and the logs."""
    keras.utils.set_random_seed(seed)
    tasks, train, test, (_, deep) = synthetic_example_depths(seed=seed)
    model = keras_mtl.build_dynashare(
        keras.Input(train[0].shape[1:]), tasks, [STEM, *[[BLOCK]] * 2], target_rates=0.5,
        gate_temperature=temperature, seed=seed,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(LEARNING_RATE))
    model.fit(*train, batch_size=BATCH_SIZE, epochs=30, verbose=0)
    outputs = [layer.output for layer in model.layers if isinstance(layer, InstanceGate)]
    opened = [np.array(rows)[:, 0] for rows in keras.Model(model.input, outputs)(test[0])]
    rates = [(float(rows[deep].mean()), float(rows[~deep].mean())) for rows in opened]
    return rates, model.evaluate(*test, verbose=0, return_dict=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=30, help="after the warm-up")
    parser.add_argument("--final", type=float, default=0.1, help="temperature of policies")
    parser.add_argument("--gates", nargs="*", type=float, default=[1.0, 0.1], help="the same")
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        rows, logs = policies(seed, arguments.final, arguments.cycles)
        for task, row in rows.items():
            print(f"{seed} {task:14} {row.round(2)} accuracy {logs[f'{task}_accuracy']:.3f}")
    for final in arguments.gates:
        for seed in range(arguments.seeds):
            rates, logs = gates(seed, keras_mtl.AnnealingSchedule(1.0, final))
            text = ", ".join(f"{deep:.2f} and {rest:.2f}" for deep, rest in rates)
            print(f"{seed} gates to {final}: {text}; accuracy {logs['label_accuracy']:.3f}")


if __name__ == "__main__":
    main()
