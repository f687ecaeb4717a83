"""What run.py times in PyTorch: LibMTL's modules in a loop written by hand."""

import importlib
import importlib.util
import sys
import types
from functools import partial

import torch

from benchmarks.throughput.table import (
    FEATURES,
    LEARNING_RATE,
    TASKS,
    TOWER,
    UNITS,
    own_experts,
    table,
)


def architectures():
    """LibMTL's architectures alone: the package itself needs a torchvision of its time."""
    spec = importlib.util.find_spec("LibMTL")
    if spec is None:
        raise ModuleNotFoundError("No module named 'LibMTL'")
    package = types.ModuleType("LibMTL")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["LibMTL"] = package
    return importlib.import_module("LibMTL.architecture")


def networks(num_experts):
    """Returns a dict, method -> function that returns a module, which answers logits by task."""
    library, own = architectures(), own_experts(num_experts)
    numbers = [num_experts - own * len(TASKS), *[own] * len(TASKS)]
    expert = partial(rectified, FEATURES, UNITS)
    wide = num_experts * UNITS
    return {
        "mmoe": partial(made, library.MMoE, expert, tower, [num_experts]),
        "cgc": partial(made, library.CGC, expert, tower, numbers),
        "shared bottom": partial(
            made, library.HPS, partial(rectified, FEATURES, wide), partial(torch.nn.Linear, wide, 1)
        ),
    }


def made(network, encoder, decoder, num_experts=None):
    decoders = torch.nn.ModuleDict({task: decoder() for task in TASKS})
    return network(
        list(TASKS), encoder, decoders, False, False, torch.device("cpu"),
        img_size=[FEATURES], num_experts=num_experts,
    )  # fmt: skip


def rectified(features, units):
    return torch.nn.Sequential(torch.nn.Linear(features, units), torch.nn.ReLU())


def tower():
    return torch.nn.Sequential(rectified(UNITS, TOWER), torch.nn.Linear(TOWER, 1))


class Training:
    """A loop as somebody would write it: Adam, the tasks' losses added, and summed up for a log."""

    def __init__(self, model, x, y, batch):
        self.model, self.x, self.y, self.batch = model.train(), x, y, batch
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        self.loss = torch.nn.BCEWithLogitsLoss()
        self.totals = dict.fromkeys(y, 0.0)

    def step(self, x, y):
        logits = self.model(x)
        losses = {task: self.loss(logits[task], label) for task, label in y.items()}
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.optimizer.step()
        for task, loss in losses.items():
            self.totals[task] += loss.item()

    def fit(self, epochs):
        for _ in range(epochs):
            for rows in torch.randperm(len(self.x)).split(self.batch):
                self.step(self.x[rows], {task: label[rows] for task, label in self.y.items()})

    def steps(self, number):
        x, y = self.x[: self.batch], {t: label[: self.batch] for t, label in self.y.items()}
        for _ in range(number):
            self.step(x, y)


def cases(arguments):
    x, y = table(arguments.steps * arguments.batch)
    x, y = torch.from_numpy(x), {task: torch.from_numpy(label) for task, label in y.items()}
    found, epochs = {}, arguments.epochs
    for method, new in networks(arguments.experts).items():
        if method in arguments.methods:
            first, second = (Training(new(), x, y, arguments.batch) for _ in range(2))
            found[method, "LibMTL", "fit"] = partial(first.fit, epochs)
            found[method, "LibMTL", "step"] = partial(second.steps, epochs * arguments.steps)
    return found
