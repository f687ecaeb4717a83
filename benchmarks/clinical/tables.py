"""Tables of the results of run.py: means and standard errors over seeds.

python -m benchmarks.clinical.tables clinical.jsonl
"""

import argparse
import json
import pathlib

import numpy as np

SCORES = {
    ("mortality", "auc_roc"): "death in hospital AUC-ROC",
    ("mortality", "auc_pr"): "AUC-PR",
    ("survival", "auc_roc"): "death later AUC-ROC",
    ("survival", "auc_pr"): "AUC-PR",
    ("length_of_stay", "mae"): "stay, days",
    ("sofa", "mae"): "SOFA",
}


def text(values, score):
    """Returns a mean and its standard error over seeds; areas in percent."""
    values = np.array(values) * (1 if score == "mae" else 100)
    digits = 3 if score == "mae" else 2
    error = f" ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{error}"


def chosen_dropout(rows, method):
    """Returns the dropout with which a method reached its smallest validation loss at seed 0."""
    tried = searched(rows, method)
    if not tried:
        raise SystemExit(f"There are no results of {method!r} yet. Run `methods` first.")
    return min(tried, key=lambda row: row["validation_loss"])["dropout"]


def searched(rows, method):
    of_search = {"experiment": "methods", "method": method, "seed": 0}.items()
    return [row for row in rows if of_search <= row.items()]


def by_name(rows, experiment):
    """Returns a dict, what was compared -> seed -> row, of the dropout that was chosen."""
    groups = {}
    for row in rows:
        trained = "dropout" in row
        chosen = not trained or row["dropout"] == chosen_dropout(rows, row["method"])
        if row["experiment"] == experiment and chosen:
            name = row.get("open_fraction", row["method"])
            groups.setdefault(name, {})[row["seed"]] = row
    return groups


def scores(rows, task, score):
    return [row["test"][task][score] for _, row in sorted(rows.items())]


def print_scores(experiment, groups):
    print(f"\n| {experiment} | {' | '.join(SCORES.values())} | weights | dropout | seeds |")
    print("|---" * (len(SCORES) + 4) + "|")
    for name, rows in groups.items():
        row = rows[0]
        cells = [text(scores(rows, *place), place[1]) for place in SCORES]
        cells += [f"{row['parameters']:,}", str(row.get("dropout", "")), str(len(rows))]
        print(f"| {name} | {' | '.join(cells)} |")


def print_differences(groups, pairs):
    """Prints how much higher the scores of one are than those of another, seed by seed."""
    for name, other in pairs:
        if name in groups and other in groups:
            seeds = groups[name].keys() & groups[other].keys()
            cells = []
            for task, score in SCORES:
                a, b = (
                    scores({seed: groups[one][seed] for seed in seeds}, task, score)
                    for one in (name, other)
                )
                cells.append(text(np.subtract(a, b), score))
            print(f"| {name} minus {other} | {' | '.join(cells)} | | | {len(seeds)} |")


def print_searches(rows):
    print("\n| seed 0 | dropout: smallest validation loss (epoch) |\n|---|---|")
    for method in dict.fromkeys(row["method"] for row in rows if "dropout" in row):
        found = [
            f"{row['dropout']}: {row['validation_loss']:.4f} "
            f"({', '.join(str(1 + int(np.argmin(curve))) for curve in row['curves'])})"
            for row in searched(rows, method)
        ]
        print(f"| {method} | {'; '.join(found)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    rows = [json.loads(line) for path in arguments.results for line in path.open()]
    groups = by_name(rows, "methods")
    print_scores("methods", groups)
    print_differences(
        groups,
        [
            ("MS + MT-RMN", "MS"), ("MC + MT-RMN", "MC"), ("MC", "MS"),
            ("MS", "single task"), ("MS", "wide MS"), ("MS + MT-RMN", "wide MS"),
        ],
    )  # fmt: skip
    if ablation := by_name(rows, "ablation"):
        print_scores("open fraction, MS + MT-RMN", ablation)
    print_searches(rows)


if __name__ == "__main__":
    main()
