"""Tables of the runs of run.py: accuracy with tests, and what routes look like.

`t` and `p` test whether a method's accuracy is above the baseline's, over seeds: a positive t says
that its mean is. Student's test is the paper's (8 degrees of freedom for 5 + 5 runs), Welch's does
without equal variances. "Rand" is the adjusted Rand index of two seeds' groups of tasks, the mean
over pairs of seeds, layer by layer: 0 is chance.
"""

import itertools

import numpy as np

from keras_mtl.analysis import grouping_agreement, welch_test

BASELINES = ["shared bottom", "no sharing"]


def print_tables(comparison):
    """Prints all tables of a comparison."""
    by_method = {method: accuracies(comparison, method) for method in comparison.methods}
    baselines = [name for name in BASELINES if name in by_method]
    tests = "".join(f" t against {name} | p, Student | p, Welch |" for name in baselines)
    print(f"\n| | accuracy, % | best | parameters |{tests} training, s |")
    print("|---" * (5 + 3 * len(baselines)) + "|")
    for method, found in by_method.items():
        tests = "".join(f" {tested(found, by_method[name])} |" for name in baselines)
        size, seconds = (comparison.costs(method, cost) for cost in ("parameters", "seconds"))
        print(f"| {method} | {spread(found)} | {max(found):.2f} | {size:,.0f} |{tests}", end="")
        print(f" {seconds:.0f} |")
    print_routes(comparison.runs)


def accuracies(comparison, method):
    """Returns the mean over tasks of the accuracy in percent, seed by seed."""
    scores = [comparison.scores(method, task, "accuracy") for task in comparison.tasks]
    return (100 * np.mean(scores, axis=0)).tolist()


def spread(values, form=".2f"):
    """Returns a mean and its standard error."""
    mean = f"{np.mean(values):{form}}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1) / np.sqrt(len(values)):{form}}"


def tested(results, baseline):
    if min(len(results), len(baseline)) < 2 or results == baseline:
        return "| |"
    student, welch = (
        welch_test(results, baseline, equal_variances=equal) for equal in (True, False)
    )
    return f"{student.t:+.2f} | {student.p:.3f} | {welch.p:.3f}"


def print_routes(by_method):
    print("\n| | Rand | components in use | perplexity, epoch by epoch (first seed) |")
    print("|---|---|---|---|")
    for method, runs in by_method.items():
        found = [run["findings"] for run in runs]
        if not all(found):
            continue
        policies = [[exact(policy) for policy in one["policies"]] for one in found]
        pairs = [grouping_agreement(*pair) for pair in itertools.combinations(policies, 2)]
        rand = by_layer(np.mean(pairs, axis=0)) if pairs else ""
        used = [[len(set(np.argmax(p, axis=1))) for p in of_run] for of_run in policies]
        perplexity = "; ".join(by_layer(epoch) for epoch in found[0]["perplexity"])
        print(f"| {method} | {rand} | {by_layer(np.mean(used, axis=0))} | {perplexity} |")


def exact(policy):
    """Returns a policy that was rounded, so that its rows add up to 1 again."""
    return np.array(policy) / np.sum(policy, axis=1, keepdims=True)


def by_layer(values):
    return ", ".join(f"{value:.2f}" for value in values)
