"""The stays and labels of run.py, as its networks and regressions read them."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_mtl.data import load_physionet2012, standardize_stays

TASKS = {
    "mortality": "binary",
    "survival": "binary",
    "length_of_stay": "regression",
    "sofa": "regression",
}
STEP_HOURS = 2


class Stays:
    """Training, validation and test stays, and the labels on the scale that is learned.

    Days in hospital are learned as their logarithm. Both regressions have mean 0 and standard
    deviation 1 in the training part.
    """

    def __init__(self, folder):
        part = load_physionet2012(folder, "a")
        held_out = np.random.default_rng(0).permutation(len(part.ids)) < len(part.ids) // 5
        parts = standardize_stays(
            part.take(~held_out), part.take(held_out), load_physionet2012(folder, "b")
        )
        self.parts = dict(zip(("train", "validation", "test"), parts, strict=True))
        self.x = {name: in_longer_steps(part) for name, part in self.parts.items()}
        self.scales = {}
        for task, kind in TASKS.items():
            if kind == "regression":
                label = self._label("train", task)
                self.scales[task] = np.nanmean(label), np.nanstd(label)

    def _label(self, part, task):
        label = self.parts[part].labels[task]
        return np.log(label) if task == "length_of_stay" else label

    def y(self, part, task):
        """Returns what is learned, NaN where there is no label."""
        mean, deviation = self.scales.get(task, (0, 1))
        return (self._label(part, task) - mean) / deviation

    def score(self, task, predicted):
        """Returns test scores: areas under the curves of deaths, or the mean absolute error."""
        label = self.parts["test"].labels[task]
        known = ~np.isnan(label)
        label, predicted = label[known], predicted.ravel()[known]
        if TASKS[task] == "binary":
            if task == "survival":
                label, predicted = 1 - label, -predicted
            return {
                "auc_roc": roc_auc_score(label, predicted),
                "auc_pr": average_precision_score(label, predicted),
            }
        mean, deviation = self.scales[task]
        value = predicted * deviation + mean
        value = np.exp(value) if task == "length_of_stay" else value
        return {"mae": float(np.abs(value - label).mean())}


def in_longer_steps(stays):
    """Returns what networks read: values at the end of each step, whether measured during it."""
    steps = stays.x.reshape(len(stays.ids), -1, STEP_HOURS, stays.x.shape[-1])
    masks = np.char.startswith(stays.columns, "mask->")
    return np.where(masks, steps.max(axis=2), steps[:, :, -1])


def summary(stays):
    """Returns mean, smallest, largest and last value and count of every variable of each stay."""
    columns = [stays.x[:, -1, stays.channels[-1]]]  # known at admission
    for *quantity, mask in stays.channels[:-1]:
        measured = stays.x[..., mask] > 0
        columns.append(measured.sum(axis=1, keepdims=True))
        for place in quantity:
            values = np.ma.masked_array(stays.x[..., place], ~measured)
            found = [values.mean(axis=1), values.min(axis=1), values.max(axis=1)]
            columns += [column.filled(0)[:, None] for column in found]
            columns.append(stays.x[:, -1, [place]])
    return np.concatenate(columns, axis=1)
