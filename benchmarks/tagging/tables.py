"""Tables of the results of run.py: means and standard errors over seeds.

python -m benchmarks.tagging.tables conll.jsonl domains.jsonl noise.jsonl ablation.jsonl
python -m benchmarks.tagging.tables noise.jsonl --figure docs/noise_fitting.png
"""

import argparse
import json
import pathlib
from collections import defaultdict

import numpy as np

from keras_mtl.analysis import error_reduction

MAIN, AUXILIARY = "main", "pos"


def text(values):
    """Returns the mean in percent and its standard error over seeds."""
    values = 100 * np.array(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():6.2f} ± {error:4.2f}"


def by_method(rows):
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        groups[row["method"]].append(row)
    return groups


def print_scores(title, rows):
    """Prints the scores of the main task and the other one, and paired differences."""
    print(f"\n{title}")
    print(f"{'method':32}{'seeds':>5}{'accuracy':>15}{'span F1':>15}{'POS':>15}{'weights':>12}")
    for method, runs in by_method(rows).items():
        scores = [run["test"][MAIN] for run in runs]
        line = f"{method:32}{len(runs):5}{text([s['accuracy'] for s in scores]):>15}"
        spans = [s["span_f1"] for s in scores]
        line += f"{text(spans) if None not in spans else '':>15}"
        other = [run["test"].get(AUXILIARY) for run in runs]
        line += f"{text([s['accuracy'] for s in other]) if None not in other else '':>15}"
        print(f"{line}{runs[0]['parameters']:12,}")


def print_differences(rows, reference="sluice"):
    """Prints how much the reference is ahead of each method in accuracy, seed by seed."""
    groups = by_method(rows)
    accuracy = {
        method: {run["seed"]: run["test"][MAIN]["accuracy"] for run in runs}
        for method, runs in groups.items()
    }
    for method, own in accuracy.items():
        seeds = sorted(own.keys() & accuracy.get(reference, {}).keys())
        if method != reference and seeds:
            ahead = text([accuracy[reference][seed] - own[seed] for seed in seeds])
            print(f"{reference} minus {method:26}{len(seeds):3} seeds{ahead:>15}")


def print_domains(rows):
    """Prints the accuracy in and out of domain, a mean over sources for each seed."""
    print("\ndomains: accuracy of the main task, trained on one genre")
    print(f"{'method':24}{'seeds':>5}{'in domain':>15}{'out of domain':>15}{'error reduction':>17}")
    base = None
    for method, runs in by_method(rows).items():
        inside, outside = defaultdict(list), defaultdict(list)
        for run in runs:
            for genre, scores in run["test"].items():
                place = inside if genre == run["source"] else outside
                place[run["seed"]].append(scores[MAIN]["accuracy"])
        means = [[np.mean(values) for values in place.values()] for place in (inside, outside)]
        base = np.mean(means[1]) if method == "single task" else base
        line = f"{method:24}{len(means[0]):5}{text(means[0]):>15}{text(means[1]):>15}"
        known = base is not None and method != "single task"
        print(line + (f"{error_reduction(np.mean(means[1]), base):17.1%}" if known else ""))


def print_noise(rows, figure):
    """Prints the epochs until half of the random labels are learned, and draws the curves."""
    print("\nnoise: training accuracy on random chunk labels, by epoch")
    curves = {m: np.array([run["curve"] for run in runs]) for m, runs in by_method(rows).items()}
    shown = [0, 4, 9, 19, 29, 39, 49]
    print(f"{'method':16}" + "".join(f"{epoch + 1:>9}" for epoch in shown))
    for method, curve in curves.items():
        kept = [epoch for epoch in shown if epoch < curve.shape[1]]
        print(f"{method:16}" + "".join(f"{100 * curve[:, epoch].mean():9.1f}" for epoch in kept))
    if figure:
        from keras_mtl.plots import plot_learning_curves

        ax = plot_learning_curves(curves, log="training accuracy")
        ax.figure.savefig(figure, dpi=120, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path, nargs="+")
    parser.add_argument("--figure", type=pathlib.Path, help="where to draw the noise curves")
    arguments = parser.parse_args()
    rows = [json.loads(line) for path in arguments.results for line in path.open()]
    groups = defaultdict(list)
    for row in rows:
        groups[row["experiment"], row.get("fraction")].append(row)
    for (experiment, fraction), found in groups.items():
        if experiment == "domains":
            print_domains(found)
        elif experiment == "noise":
            print_noise(found, arguments.figure)
        else:
            part = "" if fraction is None else f", {fraction:.0%} of the training part"
            print_scores(experiment + part, found)
            print_differences(found)


if __name__ == "__main__":
    main()
