"""Tables of the results of run.py: accuracy, Welch's test, what routes look like.

    python -m benchmarks.routes.tables routes.jsonl

`t` and `p` test whether a method's accuracy is above the baseline's, over seeds: a positive t says
that its mean is. "Rand" is the adjusted Rand index of two seeds' groups of tasks, the mean over
pairs of seeds, layer by layer: 0 is chance.
"""

import argparse
import itertools
import json
import pathlib

import numpy as np

from keras_mtl.analysis import grouping_agreement, welch_test

BASELINES = ["shared bottom", "no sharing"]


def spread(values):
    """Returns a mean and its standard error."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def welch(results, baseline):
    if min(len(results), len(baseline)) < 2 or results == baseline:
        return "|"
    test = welch_test(results, baseline)
    return f"{test.t:+.2f} | {test.p:.2f}"


def exact(policy):
    """Returns a policy that was rounded, so that its rows add up to 1 again."""
    return np.array(policy) / np.sum(policy, axis=1, keepdims=True)


def by_layer(values):
    return ", ".join(f"{value:.2f}" for value in values)


def print_accuracy(by_method):
    print("| | accuracy | best | seeds |", end="")
    print("".join(f" t against {name} | p |" for name in BASELINES), "minutes |")
    print("|---" * (5 + 2 * len(BASELINES)) + "|")
    accuracies = {m: [run["accuracy"] for run in runs] for m, runs in by_method.items()}
    for method, found in accuracies.items():
        tests = " | ".join(welch(found, accuracies.get(name, [])) for name in BASELINES)
        minutes = np.mean([run["minutes"] for run in by_method[method]])
        print(f"| {method} | {spread(found)} | {max(found):.2f} | {len(found)} | {tests} |", end="")
        print(f" {minutes:.1f} |")


def print_routes(by_method):
    print("\n| | Rand | components in use | perplexity, epoch by epoch (first seed) |")
    print("|---|---|---|---|")
    for method, runs in by_method.items():
        if not runs[0]["policies"] or method in BASELINES or method.startswith("Gumbel"):
            continue
        policies = [[exact(policy) for policy in run["policies"]] for run in runs]
        pairs = [grouping_agreement(*pair) for pair in itertools.combinations(policies, 2)]
        rand = by_layer(np.mean(pairs, axis=0)) if pairs else ""
        used = [[len(set(np.argmax(p, axis=1))) for p in of_run] for of_run in policies]
        perplexity = "; ".join(by_layer(epoch) for epoch in runs[0]["perplexity"])
        print(f"| {method} | {rand} | {by_layer(np.mean(used, axis=0))} | {perplexity} |")


def label(run):
    """Returns a method's name and the settings in which it is not the script's usual one."""
    settings = dict(run["routing"])
    for name, usual in (("policy_rate", 0.02), ("warm_up", 0)):
        if run[name] != usual:
            settings |= {name: run[name]}
    return run["method"] + (f", {json.dumps(settings)}" if settings else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    rows = [json.loads(line) for line in parser.parse_args().results.read_text().splitlines()]
    by_settings = {}
    for row in rows:
        settings = f"{row['dataset']}, {row['epochs']} epochs, components: {row['components']}"
        by_settings.setdefault(settings, {}).setdefault(label(row), []).append(row)
    for settings, by_method in by_settings.items():
        print(f"\n{settings}\n")
        print_accuracy(by_method)
        print_routes(by_method)


if __name__ == "__main__":
    main()
