"""Tables of the results of run.py: means and standard errors over seeds.

python -m benchmarks.related_sequences.tables groups.jsonl routing.jsonl transfer.jsonl
python -m benchmarks.related_sequences.tables routing.jsonl --figure docs/routing_over_time.png
"""

import argparse
import json
import pathlib
from collections import defaultdict

import numpy as np
from scipy import stats

PERCENT = 100


def text(values, scale=1.0):
    """Returns the mean and its standard error over seeds."""
    values = scale * np.array(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():.2f} ± {error:.2f}"


def grouped(rows, *names):
    groups = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["seed"]):
        groups[tuple(row[name] for name in names)][row["seed"]] = row
    return groups


def print_groups(rows, reference="MT-RMN"):
    """Prints the accuracy of each method, and how far the reference is ahead, seed by seed."""
    for group in ("more", "less"):
        print(f"\n{group} related: test accuracy in %")
        runs = grouped([row for row in rows if row["group"] == group], "method")
        means = {
            method: {seed: np.mean([*run["test"].values()]) for seed, run in own.items()}
            for (method,), own in runs.items()
        }
        for (method,), own in runs.items():
            tasks = [
                text([run["test"][task] for run in own.values()], PERCENT)
                for task in next(iter(own.values()))["test"]
            ]
            columns = [*tasks, text([*means[method].values()], PERCENT)]
            seeds = sorted(means[reference].keys() & own.keys())
            ahead = [means[reference][seed] - means[method][seed] for seed in seeds]
            columns.append("" if method == reference else text(ahead, PERCENT))
            best = [run["best_epoch"] for run in own.values()]
            line = f"{method:26}{len(own):3}" + "".join(f"{column:>15}" for column in columns)
            print(line + f"{next(iter(own.values()))['parameters']:10,}  best epochs {best}")


def correlations(found, truth, kind=stats.pearsonr):
    """Returns the correlation over all steps and pairs of tasks, 0 of a constant."""
    above = np.triu_indices(np.shape(truth)[-1], 1)
    found, truth = (np.array(values)[:, *above].ravel() for values in (found, truth))
    return 0.0 if np.ptp(found) == 0 or np.ptp(truth) == 0 else float(kind(found, truth)[0])


def dealt_anew(truth, rng):
    """Returns the truth with its values of segments and pairs at random places."""
    truth = np.array(truth)
    above = np.triu_indices(truth.shape[-1], 1)
    first = np.flatnonzero(np.any(np.diff(truth[:, *above], axis=0, prepend=-1), axis=1))
    values = truth[first][:, *above]
    values = rng.permutation(values.ravel()).reshape(values.shape)
    dealt = np.zeros_like(truth)
    dealt[:, *above] = np.repeat(values, np.diff([*first, len(truth)]), axis=0)
    return dealt


def print_relatedness(rows):
    """Prints how the relatedness found agrees with the known one, and what chance gives."""
    print("\nrelatedness: correlation of what was found with the truth")
    print(
        f"{'data, setting':34}{'seeds':>5}{'Pearson':>16}{'Spearman':>16}{'untrained':>16}", end=""
    )
    print(f"{'chance sd':>10}{'accuracy':>15}{'open of 6':>15}", end="")
    print(f"{'drawn of 6':>15}{'sd of odds':>15}{'found, sd':>18}")
    rng = np.random.default_rng(0)
    for (data, setting), own in grouped(rows, "data", "setting").items():
        runs = list(own.values())
        trained = [correlations(run["found"], run["truth"]) for run in runs]
        spearman = [correlations(run["found"], run["truth"], stats.spearmanr) for run in runs]
        untrained = [correlations(run["untrained"], run["truth"]) for run in runs]
        chance = [
            correlations(run["found"], dealt_anew(run["truth"], rng))
            for run in runs
            for _ in range(200)
        ]
        accuracy = [np.mean([*run["test"].values()]) for run in runs]
        opened = [np.mean([*run["open"].values()]) for run in runs]
        above = np.triu_indices(len(runs[0]["truth"][0]), 1)
        spread = [np.array(run["found"])[:, *above].std() for run in runs]
        mean = [np.array(run["found"])[:, *above].mean() for run in runs]
        line = f"{data + ', ' + setting:34}{len(runs):5}"
        line += "".join(f"{text(values):>16}" for values in (trained, spearman, untrained))
        drawn = [np.mean([*run["drawn"].values()]) for run in runs]
        decided = [np.mean([*run["spread"].values()]) for run in runs]
        line += f"{np.std(chance):10.2f}{text(accuracy, PERCENT):>15}{text(opened):>15}"
        line += f"{text(drawn):>15}{text(decided):>15}"
        print(line + f"{np.mean(mean):8.2f}, {np.mean(spread):.3f}", np.round(trained, 2).tolist())


def print_transfer(rows, methods=("RMN_tr", "RMN_un", "LSTM")):
    """Prints the accuracy on each new task, and the mean over tasks for each seed."""
    print("\ntransfer: test accuracy on a new task in %")
    print(f"{'new task':12}{'seeds':>5}" + "".join(f"{method:>16}" for method in methods))
    for (new,), own in sorted(grouped(rows, "new").items()):
        columns = [text([run[m]["test"] for run in own.values()], PERCENT) for m in methods]
        print(f"{new:12}{len(own):5}" + "".join(f"{column:>16}" for column in columns))
    by_seed = defaultdict(list)
    for row in rows:
        by_seed[row["seed"]].append([row[method]["test"] for method in methods])
    means = np.array([np.mean(scores, axis=0) for scores in by_seed.values()])
    columns = [text(column, PERCENT) for column in means.T]
    print(f"{'mean':12}{len(means):5}" + "".join(f"{column:>16}" for column in columns))
    runs = np.array([[row[method]["test"] for method in methods] for row in rows])
    for index, method in enumerate(methods[1:], start=1):
        ahead = text(runs[:, 0] - runs[:, index], PERCENT)
        print(f"{methods[0]} minus {method}: {ahead}, {len(runs)} runs")
    print("weights:", {m: rows[0][m]["parameters"] for m in methods})


def draw(rows, path):
    """Draws the known relatedness above what networks found, the mean over seeds."""
    import matplotlib.pyplot as plt

    from keras_mtl.plots import plot_relatedness_over_time

    groups = grouped(rows, "data", "setting")
    tasks = next(iter(groups.values()))[0]["test"]
    figure, axes = plt.subplots(len(groups) + 1, figsize=(6, 2.4 * len(groups) + 2.4))
    truth = next(iter(groups.values()))[0]["truth"]
    plot_relatedness_over_time(truth, tasks, axes[0]).set_title("known")
    for ax, ((_, setting), own) in zip(axes[1:], groups.items(), strict=True):
        found = np.mean([run["found"] for run in own.values()], axis=0)
        plot_relatedness_over_time(found, tasks, ax).set_title(f"found, {setting}")
    figure.tight_layout()
    figure.savefig(path, dpi=120, bbox_inches="tight")


PRINT = {"groups": print_groups, "relatedness": print_relatedness, "transfer": print_transfer}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path, nargs="+")
    parser.add_argument("--figure", type=pathlib.Path, help="where to draw relatedness over time")
    arguments = parser.parse_args()
    rows = [json.loads(line) for path in arguments.results for line in path.open()]
    for experiment, show in PRINT.items():
        if own := [row for row in rows if row["experiment"] == experiment]:
            show(own)
    if arguments.figure:
        found = [row for row in rows if row["experiment"] == "relatedness"]
        draw([row for row in found if row["data"] == "turns"], arguments.figure)


if __name__ == "__main__":
    main()
