"""What stitching costs: a training step of a sluice network against the same towers alone.

Three BiLSTM layers of 100 units for each task on 32 sentences of 24 words; the towers alone
have no stitches and no mixture of layers. Medians of interleaved rounds, compile time apart.

    python -m benchmarks.costs.stitching                        # TensorFlow, graph
    KERAS_BACKEND=jax python -m benchmarks.costs.stitching      # JAX
"""

import argparse
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.costs.steps import compiled_step, first_call, interleaved
from keras_mtl.models.towers.parallel import build_towers

SENTENCES, STEPS, UNITS, TAGS = 32, 24, 100, 20


def arguments_of(num_tasks):
    """Returns inputs, tasks, layers and stem of a tagger with a tower per task."""
    tasks = {f"task_{index}": keras_mtl.Task("tagging", TAGS) for index in range(num_tasks)}
    bilstm = partial(keras_mtl.layers.BiLSTM, UNITS)
    stem = [partial(keras.layers.Embedding, 5000, 64, mask_zero=True)]
    return keras.Input((None,), dtype="int32"), tasks, [[bilstm] * num_tasks] * 3, stem


def towers_alone(num_tasks):
    *arguments, stem = arguments_of(num_tasks)
    return build_towers(
        *arguments, stitch=lambda index: list, task_data="shared", stem=stem, tower_units=(),
        seed=0, name=None,
    )  # fmt: skip


def stitched(build, num_tasks, **settings):
    *arguments, stem = arguments_of(num_tasks)
    return build(*arguments, stem=stem, seed=0, **settings)


METHODS = {
    "towers alone": towers_alone,
    "cross-stitch": partial(stitched, keras_mtl.build_cross_stitch),
    "sluice": partial(stitched, keras_mtl.build_sluice),
}


def step_of(method, num_tasks):
    model = METHODS[method](num_tasks)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=keras.backend.backend() == "jax")
    rng = np.random.default_rng(0)
    words = rng.integers(1, 5000, (SENTENCES, STEPS)).astype("int32")
    lengths = rng.integers(STEPS // 2, STEPS + 1, (SENTENCES, 1))
    there = np.arange(STEPS) < lengths
    labels = {
        task: np.where(there, rng.integers(0, TAGS, words.shape), -1).astype("int32")
        for task in model.tasks
    }
    return compiled_step(model, (np.where(there, words, 0).astype("int32"), labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    print(keras.backend.backend())
    print(f"{'tasks':>5}  {'method':14}{'ms':>8}{'first call s':>14}{'/ towers alone':>16}")
    for num_tasks in arguments.tasks:
        steps = {method: step_of(method, num_tasks) for method in METHODS}
        first = {method: first_call(step) for method, step in steps.items()}
        times = interleaved(steps, arguments.rounds, arguments.steps, warm_up=1)
        for method, values in times.items():
            ratio = np.median(values / times["towers alone"])
            print(f"{num_tasks:5}  {method:14}{np.median(values):8.1f}", end="")
            print(f"{first[method]:14.1f}{ratio:16.3f}", flush=True)


if __name__ == "__main__":
    main()
