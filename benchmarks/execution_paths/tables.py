"""Tables of the results of census.py and clinical.py: means and standard errors over seeds.

    python -m benchmarks.execution_paths.tables census.jsonl

Delta is the mean relative gain over single-task networks of the same seed, in percent. "Mean of
draws" averages a seed's networks of all drawn policies; without it stands the one that validation
chose. "Mean of random policies" is of those in which a task executes as many blocks as in a draw.
"""

import argparse
import json
import pathlib

import numpy as np

from keras_mtl.analysis import task_delta

ERRORS = ["mae"]


def by_method(rows):
    """Returns a dict, method -> seed -> list of test scores that are averaged."""
    found = {}
    for row in rows:
        found.setdefault(row["method"], {})[row["seed"]] = [row["test"]]
        for key, label in {"draws": "mean of draws", "random": "mean of random policies"}.items():
            if key in row:
                tests = [one["test"] for one in row[key]]
                found.setdefault(f"{row['method']}, {label}", {})[row["seed"]] = tests
    return found


def spread(values, digits=2):
    """Returns a mean and its standard error."""
    if len(values) < 2:
        return " ".join(f"{value:.{digits}f}" for value in values)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def print_scores(rows):
    methods = by_method(rows)
    columns = [(task, score) for task, scores in rows[0]["test"].items() for score in scores]
    names = [f"{task} {score}" for task, score in columns]
    print(f"| | {' | '.join(names)} | Delta | seeds |")
    print("|---" * (len(columns) + 3) + "|")
    for method, tests in methods.items():
        cells = []
        for task, score in columns:
            means = [np.mean([test[task][score] for test in draws]) for draws in tests.values()]
            error = score in ERRORS
            cells.append(spread(np.array(means) * (1 if error else 100), 3 if error else 2))
        print(f"| {method} | {' | '.join(cells)} | {delta(methods, method)} | {len(tests)} |")


def print_differences(rows):
    """Prints by how much scores are larger than those of something simpler, seed by seed."""
    methods = by_method(rows)
    for method in [name for name in methods if name.startswith(("gates", "Ada", "Dyna"))]:
        print_difference(rows, methods, method, "shared blocks")
    for method in [name for name in methods if name.endswith("random policies")]:
        draws = method.replace("random policies", "draws")
        print_difference(rows, methods, draws, method)


def print_difference(rows, methods, method, simpler):
    cells, seeds = [], methods[method].keys() & methods[simpler].keys()
    for task, scores in rows[0]["test"].items():
        for score in scores:
            mean = {
                name: np.array([
                    np.mean([test[task][score] for test in methods[name][seed]])
                    for seed in sorted(seeds)
                ])
                for name in (method, simpler)
            }  # fmt: skip
            error = score in ERRORS
            found = mean[method] - mean[simpler]
            cells.append(spread(found * (1 if error else 100), 3 if error else 2))
    print(f"| {method} minus {simpler} | {' | '.join(cells)} | | {len(seeds)} |")


def delta(methods, method):
    """Returns the gain over single tasks, seed by seed."""
    gains, single = [], methods["single task"]
    errors = [score for score in ERRORS if score in str(single)]
    for seed, draws in methods[method].items():
        if seed in single:
            gains.append(np.mean([task_delta(d, single[seed][0], errors).mean for d in draws]))
    return spread(gains)


def print_policies(rows):
    print("\n| seed | method | executed, of the blocks of all tasks | probabilities by task |")
    print("|---" * 4 + "|")
    for row in rows:
        if "draws" in row:
            executed = [np.mean(list(draw["executed"].values())) for draw in row["draws"]]
            text = "; ".join(", ".join(f"{p:.2f}" for p in task) for task in row["probabilities"])
            print(f"| {row['seed']} | {row['method']} | {spread(executed)} | {text} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    rows = [json.loads(line) for line in parser.parse_args().results.open()]
    print_scores(rows)
    print_differences(rows)
    print_policies(rows)


if __name__ == "__main__":
    main()
