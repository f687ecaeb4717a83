"""What census.py and clinical.py share: policies that are learned, drawn and trained.

AdaShare and DynaShare: a policy is learned, several are drawn from it, each is trained from
fresh weights, and validation chooses the best. The mean over draws stands beside it, and AdaShare's
draws beside random policies, in which a task executes as many blocks, but any.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial

import keras
import numpy as np

import keras_mtl
from keras_mtl.analysis import executed_blocks
from keras_mtl.data import alternating_batches

NUM_POLICIES = 4
POLICY_PART = 0.2  # of the training data, for the policy while it is learned
POLICY_RATE = 0.02  # of its Adam


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights with the best validation score, and stops some epochs after them."""

    def __init__(self, validate, patience):
        super().__init__()
        self._validate, self._patience, self.score, self.epoch = validate, patience, -np.inf, 0

    def on_epoch_end(self, epoch, logs=None):
        score = self._validate(self.model)
        if score > self.score:
            self.score, self.epoch = score, epoch + 1
            self._weights = self.model.get_weights()
        self.model.stop_training = epoch + 1 - self.epoch >= self._patience

    def on_train_end(self, logs=None):
        self.model.set_weights(self._weights)


@dataclasses.dataclass
class Experiment:
    """Data, a backbone of blocks, and how a network is trained and judged.

    Attributes:
        train: `(x, y)` of all tasks.
        validate: Function of a model that returns a score, the larger the better.
        test: Function of a model that returns a dict, task -> dict of test scores.
    """

    tasks: dict
    layers: list
    target_rates: list
    phases: keras_mtl.PolicyPhases
    cycles: int
    cycles_per_block: int
    train: tuple
    validate: Callable
    test: Callable
    batch_size: int
    learning_rate: float
    epochs: int
    patience: int
    stem: list = dataclasses.field(default_factory=list)

    def build(self, builder, seed, tasks=None, **settings):
        settings = {"layers": self.layers, "stem": self.stem, "seed": seed} | settings
        inputs = keras.Input(self.train[0].shape[1:])
        return builder(inputs, tasks or self.tasks, **settings)

    def trained(self, builder, seed, tasks=None, **settings):
        """Returns a trained network with the weights of its best epoch, and its facts."""
        model = self.build(builder, seed, tasks, **settings)
        model.compile(keras.optimizers.Adam(self.learning_rate))
        x, y = self.train
        best = BestEpoch(self.validate, self.patience)
        model.fit(
            x, {task: y[task] for task in model.tasks},
            batch_size=self.batch_size, epochs=self.epochs, callbacks=[best], verbose=0,
        )  # fmt: skip
        facts = {"validation": float(best.score), "best_epoch": best.epoch}
        return model, facts | {"test": self.test(model), "parameters": model.count_params()}

    def together(self, builder, seed, **settings):
        """Returns the facts of one network for all tasks."""
        return self.trained(builder, seed, **settings)[1]

    def alone(self, seed, **settings):
        """Returns the facts of a network for each task, which stops when it is best."""
        facts = [
            self.trained(keras_mtl.build_shared_bottom, seed, {task: kind}, **settings)[1]
            for task, kind in self.tasks.items()
        ]
        return {
            "best_epoch": [one["best_epoch"] for one in facts],
            "test": {task: scores for one in facts for task, scores in one["test"].items()},
            "parameters": sum(one["parameters"] for one in facts),
        }

    def learned(self, seed):
        """Returns AdaShare's network at the cycle that validation chooses."""
        x, y = self.train
        order = np.random.default_rng(seed).permutation(len(x))
        cut = int((1 - POLICY_PART) * len(x))
        parts = [
            (x[rows], {task: label[rows] for task, label in y.items()})
            for rows in (order[:cut], order[cut:])
        ]
        model = self.build(
            keras_mtl.build_adashare, seed, phases=self.phases,
            cycles_per_block=self.cycles_per_block,
        )  # fmt: skip
        weights, policy = map(keras.optimizers.Adam, (self.learning_rate, POLICY_RATE))
        model.compile(keras_mtl.alternating_optimizer(weights, policy, self.phases))
        score = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: logs.update(val_score=self.validate(model))
        )
        best = keras_mtl.BestPolicy("val_score", mode="max")
        batches = alternating_batches(*parts, self.phases, self.batch_size, seed)
        model.fit(batches, epochs=self.cycles, callbacks=[score, best], verbose=0)
        return model

    def with_policy(self, policy, seed, target_rates):
        """Returns the facts of a network that is trained with a policy, and what it executes."""
        model, facts = self.trained(
            keras_mtl.build_dynashare, seed, policy=policy, target_rates=target_rates
        )
        rows = executed_blocks(model, self.train[0][:5000])
        executed = {task: float(blocks.mean()) for task, blocks in rows.items()}
        return facts | {"policy": policy.tolist(), "executed": executed}

    def policies(self, seed, target_rates):
        """Returns the facts of the best of several drawn policies, and of all of them.

        Without gates, of as many random ones too: each task's row of a draw, shuffled.
        """
        learned = self.learned(seed)
        drawn = [keras_mtl.sample_policy(learned, seed=draw) for draw in range(NUM_POLICIES)]
        runs = [self.with_policy(policy, seed, target_rates) for policy in drawn]
        probabilities = np.concatenate(keras_mtl.allocation_probabilities(learned), axis=1)
        facts = {"draws": runs, "probabilities": np.round(probabilities, 3).tolist()}
        if target_rates == 1:
            rng = np.random.default_rng(seed)
            shuffled = [rng.permuted(policy, axis=1) for policy in drawn]
            facts["random"] = [self.with_policy(policy, seed, 1.0) for policy in shuffled]
        return max(runs, key=lambda run: run["validation"]) | facts

    def methods(self):
        """Returns a dict, method -> function of a seed that returns its facts."""
        gated = partial(keras_mtl.build_dynashare, target_rates=self.target_rates)
        bare = [block[0] if isinstance(block, list) else block for block in self.layers]
        return {
            "single task": partial(self.alone, layers=bare),
            "shared blocks": partial(self.together, keras_mtl.build_dynashare),
            "gates only": partial(self.together, gated),
            "AdaShare": partial(self.policies, target_rates=1.0),
            "DynaShare": partial(self.policies, target_rates=self.target_rates),
        }


def run(keep, methods, seeds):
    """Runs methods with every seed and keeps what they return."""
    for seed in range(seeds):
        for method, make in methods.items():
            keep.once({"method": method, "seed": seed}, partial(timed, make, seed))


def timed(make, seed):
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    facts = make(seed)
    minutes = round((time.perf_counter() - start) / 60, 2)
    return facts | {"minutes": minutes, "backend": keras.backend.backend()}
