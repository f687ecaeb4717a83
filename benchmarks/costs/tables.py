"""What a step costs as the tables of embeddings grow: by all rows, or by those of the batch.

An MMoE of two tasks reads four ids from a table of 16 numbers a row, 1,024 examples a batch.
Medians of interleaved rounds; compile time apart; peak memory in a process of its own, beyond the
table and its two averages.

    python -m benchmarks.costs.tables                        # TensorFlow, graph
    KERAS_BACKEND=jax python -m benchmarks.costs.tables      # JAX
"""

import argparse
import subprocess
import sys
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.costs.steps import compiled_step, first_call, interleaved, peak_megabytes

WIDTH, IDS, BATCH_SIZE = 16, 4, 1024
WAYS = {
    "Adam": (keras.optimizers.Adam, keras.layers.Embedding),
    "VisitedAdam": (keras_mtl.VisitedAdam, keras.layers.Embedding),
    "VisitedAdam, RowEmbedding": (keras_mtl.VisitedAdam, keras_mtl.layers.RowEmbedding),
}


def step_of(way, num_rows):
    """Returns a compiled training step."""
    optimizer, embedding = WAYS[way]
    dense = partial(keras.layers.Dense, 16, activation="relu")
    model = keras_mtl.build_mmoe(
        keras.Input((IDS,), dtype="int32"), {"click": "binary", "like": "binary"}, [[dense] * 3],
        stem=[partial(embedding, num_rows, WIDTH), keras.layers.Flatten],
    )  # fmt: skip
    model.compile(optimizer(1e-3))
    rng = np.random.default_rng(0)
    ids = rng.integers(0, num_rows, (BATCH_SIZE, IDS)).astype("int32")
    labels = {task: rng.integers(0, 2, BATCH_SIZE).astype("float32") for task in model.tasks}
    return compiled_step(model, (ids, labels))


def memory(way, num_rows):
    """Returns the peak megabytes of a process that makes 20 steps."""
    command = [sys.executable, "-m", __spec__.name, "--memory_of", way, "--rows", str(num_rows)]
    return float(subprocess.run(command, capture_output=True, text=True).stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--memory_of", choices=WAYS, help="print that alone")
    arguments = parser.parse_args()
    if arguments.memory_of:
        step = step_of(arguments.memory_of, *arguments.rows)
        for _ in range(20):
            step()
        print(peak_megabytes())
        return
    cases = {(way, rows): step_of(way, rows) for way in WAYS for rows in arguments.rows}
    for step in cases.values():
        first_call(step)
    times = interleaved(cases, arguments.rounds, arguments.steps)
    base = {way: memory(way, 1) for way in WAYS}
    print(f"\n{'':28}{'rows':>10}{'ms':>8}{'MB beyond tables':>18}")
    for (way, rows), values in times.items():
        tables = 3 * rows * WIDTH * 4 / 2**20
        beyond = memory(way, rows) - base[way] - tables
        print(f"{way:28}{rows:10,}{np.median(values):8.1f}{beyond:18.0f}")


if __name__ == "__main__":
    main()
