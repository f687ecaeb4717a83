"""Policies of recurrent modular networks that choose nothing, or too much: a word during `fit`."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_mtl.layers import RecurrentModular
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.charging import is_charged

_EPOCHS_TO_LEARN = 8  # then the paper's temperature, 100 halved each epoch, is below 1
_NOISE = 1.8  # standard deviation of what a draw adds to log-odds
_FAR_BELOW = _NOISE / 2  # draws then agree in 60 to 70 %
_MORE = 0.1  # of all connections: the penalty holds the mean of draws at the limit only roughly


def deciding_layers(model: keras.Model) -> list[Any]:
    """Returns the encoder of a recurrent modular network and its tasks' decoders, or nothing."""
    by_name = {layer.name: layer for layer in model.layers}
    if not isinstance(by_name.get("encoder"), RecurrentModular):
        return []
    return [by_name["encoder"], *(by_name[f"decoder_{n + 1}"] for n in range(len(model.tasks)))]


def taken_log_odds(model: keras.Model) -> tuple[list[Any], Any]:
    """Takes away the log-odds that deciding layers saw in this step, and the mask of padding.

    They are `None` where a layer saw none: in inference, or frozen. JAX must not keep what it
    traces.
    """
    layers = deciding_layers(model)
    taken, mask = [layer.seen for layer in layers], layers[0].seen_mask if layers else None
    for layer in layers:
        layer.seen = layer.seen_mask = None
    return taken, mask


class PolicyTracker(keras.metrics.Metric):
    """What policies did in the latest batch of training: nothing to log, and not to forget.

    `latest` has a row for each deciding layer: the root mean square of its log-odds, over examples,
    steps and connections, and how many connections inference would open. A decoder is asked about
    its own task's examples; a batch without any leaves its row as it is.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__(name="policies", dtype="float32")
        self.log_names: list[str] = []
        self.latest = self.add_variable(
            (num_layers, 2), "zeros", "float32", aggregation="mean", name="latest"
        )

    def update_state(self, log_odds: Any, mask: Any, task_id: Any = None) -> None:
        """Looks at a batch.

        Args:
            log_odds: What `taken_log_odds` returned, `(batch, steps, connections)` each.
            mask: `(batch, steps)`, `False` where there is only padding, or `None`.
            task_id: `(batch,)`, whose decoder counts for each example, or `None`: all do.
        """
        rows = list(ops.unstack(ops.convert_to_tensor(self.latest), len(log_odds)))
        for index, odds in enumerate(log_odds):
            if odds is None:  # frozen: it has no draws
                continue
            odds = ops.cast(odds, "float32")
            valid = ops.ones_like(odds[..., :1])
            if mask is not None:
                valid = valid * ops.cast(mask, "float32")[..., None]
            if index and task_id is not None:
                own = ops.reshape(task_id, (-1, 1, 1)) == index - 1
                valid = valid * ops.cast(own, "float32")
            number = ops.sum(valid)
            rows[index] = ops.where(number > 0, _size_and_open(odds, valid, number), rows[index])
        self.latest.assign(ops.stack(rows))

    def result(self) -> dict[str, Any]:
        return {}

    def reset_state(self) -> None:
        """Keeps what was seen: validation comes before the end of an epoch."""

    def save_own_variables(self, store: Any) -> None:
        """Leaves files as they were."""

    def load_own_variables(self, store: Any) -> None:
        """Reads nothing."""


def _size_and_open(odds: Any, valid: Any, number: Any) -> Any:
    def mean(values):
        return ops.sum(valid * values, axis=(0, 1)) / at_least_one(number)

    size = ops.sqrt(ops.mean(mean(ops.square(odds))))
    return ops.stack([size, ops.sum(mean(ops.cast(odds >= 0, "float32")))])


class CoinFlipWarning(keras.callbacks.Callback):
    """Warns of policies that do not choose, at the end of an epoch, once each.

    From the eighth epoch on, which the schedule of the temperature gives them to learn. Log-odds
    far below the draws' noise make a connection a coin flip in training, and as a rule open or
    closed for all in inference; then, and where log-odds crowd above 0, inference opens more
    connections than the sparsity penalty leaves open in training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        tracker = getattr(self.model, "policy_tracker", None)
        if tracker is None or epoch + 1 < _EPOCHS_TO_LEARN:
            return
        found = ops.convert_to_numpy(tracker.latest)
        layers = deciding_layers(self.model)
        names = ["the encoder", *(f"task {task!r}" for task in self.model.tasks)]
        flips = {
            name: f"{name} ({size:.2f})"
            for name, layer, (size, _) in zip(names, layers, found, strict=True)
            if layer.trainable and size < _FAR_BELOW
        }
        self._tell(
            flips,
            "flip coins: their log-odds (root mean square in brackets) are small beside the noise "
            f"of the draws, {_NOISE}. A connection is open by chance in training, and inference "
            "knows no better. Use normalize_policies=True, a temperature of about 1, or train "
            "longer.",
        )
        too_many = {
            f"{name}, open": f"{name} ({opened:.1f} of {limit:g})"
            for name, opened, limit, number in self._limited(names, found[:, 1])
            if opened > limit + _MORE * number
        }
        self._tell(
            too_many,
            "open more connections in inference than open_fraction leaves free, which training "
            "keeps to (in brackets: how many, of how many), so answers read connections that "
            "training often closed. Train longer, or with a larger sparsity_weight.",
        )

    def _limited(self, names: Any, opened: Any) -> list[Any]:
        """Returns who, how many connections inference opens, how many are free, and there are."""
        encoder, *decoders = opened
        whose = {"encoder": [(names[0], encoder)]}
        if self.model.task_data == "separate":
            whose["decoder"] = [*zip(names[1:], decoders, strict=True)]
        else:
            whose["decoder"] = [("all tasks", sum(decoders))]
        found = []
        for part, rows in whose.items():
            penalty = self.model.get_layer(f"{part}_sparsity_penalty")
            number = penalty.num_connections
            if is_charged(penalty.weight):
                found += [(*row, penalty.open_fraction * number, number) for row in rows]
        return found

    def _tell(self, found: dict[str, str], what: str) -> None:
        new = [text for key, text in found.items() if key not in self._told]
        self._told.update(found)
        if new:
            warnings.warn(f"Policies of {', '.join(new)} {what}", stacklevel=2)
