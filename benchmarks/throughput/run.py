"""Examples per second in training: this package and its peers, side by side in one run.

The table has the shape of Census-Income: 486 float32 features, 3 binary tasks, batches of 1024.
MMoE has 8 experts of 64 ReLU units, CGC 2 of each task's own and 2 shared ones, both with towers
of 32 units; the shared bottom is one layer of 512. "by hand" is the network as somebody would
write it in Keras, with the same logs.

"fit" is what users run: `fit` on arrays, with losses and accuracies of all tasks; for LibMTL's
modules a plain PyTorch loop over shuffled batches, which sums up losses alone. An epoch has as
many batches as one of Census-Income. "step" is the training step by itself, on a batch at hand.
Every framework has a process of its own, which idles while others are timed. Medians of
interleaved rounds, and of the ratios in them; the first run, which compiles, apart.

    python -m benchmarks.throughput.run
    python -m benchmarks.throughput.run --frameworks tensorflow jax \\
        --methods mmoe mmoeex moe dselect_k
    python -m benchmarks.throughput.run --jit    # TensorFlow's graphs compiled with XLA

Peers that are not installed are named and left out. They are not needed otherwise:
`pip install torch`, `pip install --no-deps LibMTL`, `pip install --no-deps deepctr`.
"""

import argparse
import importlib
import multiprocessing
import os
import time
from collections import defaultdict

import numpy as np

FRAMEWORKS = {  # who makes the cases, and the backend of Keras
    "libmtl": ("libmtl_networks", "torch"),
    "deepctr": ("deepctr_networks", "tensorflow"),
    "tensorflow": ("keras_networks", "tensorflow"),
    "jax": ("keras_networks", "jax"),
}
METHODS = ("mmoe", "cgc", "shared bottom", "mmoeex", "moe", "dselect_k")
WAYS = ("fit", "step")


def work(framework, arguments, pipe):
    """Makes the cases of a framework, says their names, and times those it is asked for.

    A case is a function that trains on the batches; its name has the method, who wrote it and
    the way.
    """
    module, backend = FRAMEWORKS[framework]
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])  # Linux
    try:
        cases = importlib.import_module(f"benchmarks.throughput.{module}").cases(arguments)
    except ModuleNotFoundError as missing:
        pipe.send(f"{framework} is left out: {missing}.")
        return
    pipe.send(list(cases))
    while (name := pipe.recv()) is not None:
        start = time.perf_counter()
        cases[name]()
        pipe.send(time.perf_counter() - start)


def started(framework, arguments):
    """Starts the process of a framework; returns its end of a pipe and the names of its cases."""
    spawn = multiprocessing.get_context("spawn")
    pipe, its_end = spawn.Pipe()
    spawn.Process(target=work, args=(framework, arguments, its_end), daemon=True).start()
    its_end.close()
    names = pipe.recv()
    if isinstance(names, str):
        print(names)
        return []
    return [(pipe, framework, name) for name in names if name[-1] in arguments.ways]


def timed(cases, rounds):
    """Returns the seconds of the first run of each case, and those of all rounds."""
    first, seconds = {}, defaultdict(list)
    for number in range(1 + rounds):
        for pipe, framework, name in cases:
            pipe.send(name)
            taken = pipe.recv()
            if number:
                seconds[framework, name].append(taken)
            else:
                first[framework, name] = taken
    return first, {case: np.array(values) for case, values in seconds.items()}


def print_rates(arguments, first, seconds):
    """Prints examples per second, and how many times as many they are as those of others."""
    examples = arguments.epochs * arguments.steps * arguments.batch
    print(f"{'method':15}{'network':11}{'on':12}{'way':9}{'examples/s':>10}", end="")
    print(f"{'/ LibMTL':>10}{'/ by hand':>11}{'first run, s':>14}")
    for case in sorted(seconds, key=lambda case: arguments.methods.index(case[1][0])):
        framework, (method, who, way) = case
        by_hand = (framework, (method, "by hand", way))
        libmtl = ("libmtl", (method, "LibMTL", way))
        line = (
            f"{method:15}{who:11}{framework:12}{way:9}{examples / np.median(seconds[case]):10,.0f}"
        )
        for other, width in ((libmtl, 10), (by_hand, 11)):
            ratios = seconds[other] / seconds[case] if other in seconds else [np.nan]
            line += f"{np.median(ratios):{width}.2f}"
        print(line.replace("nan", "   ") + f"{first[case]:14.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frameworks", nargs="+", default=list(FRAMEWORKS), choices=FRAMEWORKS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS[:3]), choices=METHODS)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--jit", action="store_true", help="compile TensorFlow graphs with XLA")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=195, help="batches of an epoch")
    parser.add_argument("--epochs", type=int, default=1, help="of a run")
    arguments = parser.parse_args()
    cases = [case for name in arguments.frameworks for case in started(name, arguments)]
    print_rates(arguments, *timed(cases, arguments.rounds))
    for pipe in {pipe for pipe, *_ in cases}:
        pipe.send(None)


if __name__ == "__main__":
    main()
