"""The model class behind every builder: losses, logs and checks for several tasks."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_mtl.funnels import check_stock_loss
from keras_mtl.keras_internals import untrack, with_inner_layers
from keras_mtl.layers import TaskHead, TaskHeads
from keras_mtl.layers.charging import settled_charges, tell_task_loss
from keras_mtl.layers.heads.funnel_head import HEADS, taken_imputations
from keras_mtl.replicas import num_replicas, over_replicas
from keras_mtl.training.backend_step import BackendStep
from keras_mtl.training.balancing.base import BatchLosses, check_balancing, check_batches
from keras_mtl.training.batches import SeparateBatch, SharedBatch
from keras_mtl.training.callbacks.coin_flips import CoinFlipWarning, taken_log_odds
from keras_mtl.training.callbacks.empty_rows import EmptyRowsWarning
from keras_mtl.training.callbacks.epochs import IN_ORDER, FollowEpochs
from keras_mtl.training.inputs.checked_data import CheckedData, named
from keras_mtl.training.inputs.distribution import check_replicas, scope_of
from keras_mtl.training.inputs.forms import check_form
from keras_mtl.training.inputs.judges import check_fit
from keras_mtl.training.inputs.prepared_inputs import prepared, with_batches
from keras_mtl.training.inputs.standard_units import check_stock_units
from keras_mtl.training.losses import means_of
from keras_mtl.training.optimizers.alternating import check_batches_in_turns, check_network
from keras_mtl.training.quantizing import quantizable
from keras_mtl.training.rewards import check_rewards_come, learn_from_rewards, taken_decisions
from keras_mtl.training.saved_state import SavedState
from keras_mtl.training.task_logs import TaskLogs


@keras.saving.register_keras_serializable("keras_mtl")
class MultiTaskModel(SavedState, BackendStep, TaskLogs, CheckedData, keras.Model):
    """A functional `keras.Model` that knows its tasks.

    `compile(optimizer)` uses the tasks' own losses and metrics, which skip missing labels.
    `compile(loss=..., metrics=...)` is stock Keras and knows none. Tasks live in the head
    layers, so that clones and reloaded models keep them. Builders make these models.

    `loss` in the logs is Keras's, a mean over the batches. With missing labels it depends on the
    batch size, as batches with few labels count as much as others. `<task>_loss` is exact, the
    mean over the labelled examples of the epoch, and `mean_loss` is the mean of these over the
    tasks with labelled data, without penalties and the weights of tasks.

    `metrics_names` are the names of the values in the list that `evaluate` returns. Those of a step
    come first: a list that `train_on_batch` or `test_on_batch` returns has their values only.

    `compile(optimizer, balancing=...)` takes a method that weighs tasks against each other, such as
    `keras_mtl.PCGrad()`; `balancing.task_weights` says what it arrived at.

    Under `tf.distribute.MirroredStrategy` replicas share each batch: means, penalties, draws and
    what balancing sees are those of the whole batch, so that losses and weights are those of one
    device. What Keras does for each replica alone stays so: the clipping of its own optimizers,
    the draws of `Dropout`, the statistics of `BatchNormalization` unless it is `synchronized`.
    """

    output_names: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.balancing = None
        self.output_names = list(dict.fromkeys(self.output_names))  # heads of funnels answer twice
        for layer in self.layers:
            if not layer.trainable:  # what it made while it was built does not know yet
                for inner in with_inner_layers(layer):
                    inner.trainable = False

    @property
    def tasks(self) -> Any:
        """Dict, name -> `keras_mtl.Task`, in the order of the task index."""
        for layer in self.layers:
            if isinstance(layer, TaskHeads):
                return dict(layer.tasks)
        heads = [layer for layer in self.layers if isinstance(layer, HEADS)]
        return {head.name: head.task for head in sorted(heads, key=lambda head: head.task_id)}

    @property
    def task_data(self) -> Any:
        """`"separate"` if each example belongs to one task, `"shared"` if to all."""
        separate = any(isinstance(layer, TaskHeads) for layer in self.layers)
        return "separate" if separate else "shared"

    @property
    def standard_units(self) -> dict[str, Any]:
        """Dict, name -> mean and standard deviation of a standardized task, 0 until known."""
        heads = [layer for layer in self.layers if isinstance(layer, TaskHead | TaskHeads)]
        found = {name: units for head in heads for name, units in head.standard_units.items()}
        return {name: found[name] for name in self.tasks if name in found}

    def compile(
        self, optimizer: str = "rmsprop", loss: Any = None, balancing: Any = None, **kwargs: Any
    ) -> None:
        if loss is None:
            for name in ("loss_weights", "metrics", "weighted_metrics"):
                if kwargs.get(name) is not None:
                    raise ValueError(
                        f"compile({name}=...) needs compile(loss=...), which is stock Keras and "
                        "knows no missing labels. Put a task's own loss, metrics and weight in "
                        "keras_mtl.Task instead."
                    )
            for name, task in self.tasks.items():
                check_fit(name, task)
        else:
            check_rewards_come(self.layers)
            check_stock_loss(self.tasks)
            check_stock_units(self.tasks)
        check_network(optimizer, self.layers)
        if balancing is not None:
            half = kwargs.get("auto_scale_loss", True) and self.dtype_policy.name == "mixed_float16"
            scaling = half or isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            check_balancing(balancing, loss, optimizer, scaling)
        check_replicas(self, balancing, kwargs.get("steps_per_execution"))
        if self.balancing is not None:
            untrack(self, self.balancing)
        with scope_of(self):
            if balancing is not None:
                balancing.build(self.tasks)
            self.balancing = balancing
            super().compile(optimizer, loss, **kwargs)
            self.uses_task_losses = loss is None
            self._forget_trackers()
            if loss is None:
                self._build_trackers()
            self._penalty_trackers = {
                name: keras.metrics.Mean(name=name) for name in self._penalty_values()
            }

    def get_compile_config(self) -> Any:
        config = super().get_compile_config()
        if config and self.balancing is not None:
            config["balancing"] = keras.saving.serialize_keras_object(self.balancing)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        settings = keras.saving.deserialize_keras_object(config)
        try:
            check_network(settings["optimizer"], self.layers)
        except ValueError as error:  # a file from before this was refused: what it learned is there
            warnings.warn(f"{error} The network was loaded, and not compiled.", stacklevel=2)
            return
        self.compile(**settings)
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        self._track_policies(x)
        if not self.uses_task_losses:
            taken_imputations(self.layers)  # of which stock losses know nothing
            loss = super().compute_loss(x, y, self.of_tasks(y_pred), sample_weight, training)
            charges = settled_charges()
            self._track_penalties()
            if training:
                tell_task_loss(self.layers, loss - sum(self.losses), len(self.tasks))
            return loss + sum(charges, 0.0) / num_replicas()
        check_form(self, y, sample_weight, y_pred)
        decisions, imputed = taken_decisions(self.layers), taken_imputations(self.layers)
        charges = [*self.losses, *settled_charges()]
        self._track_penalties()
        batch = self._batch(x, y, y_pred, sample_weight, imputed)
        totals, counts = batch.sums(self._loss_measures)
        self._loss_tracker_by_task.add(totals, counts)
        for tracker in self._metric_trackers:
            tracker.update_state(batch)
        totals, counts = over_replicas((totals, counts))
        weights = ops.array(self._task_weights, dtype="float32")
        loss = batch.total(weights, totals, counts)
        rest = sum(ops.sum(ops.cast(term, "float32")) for term in charges)
        if training:
            tell_task_loss(self.layers, loss, len(self.tasks))
            rest = rest + learn_from_rewards(decisions, batch)
        if training and self.balancing is not None:
            means, shares = means_of(totals, counts), batch.shares(weights, counts)
            data = (x, y, sample_weight)
            losses = BatchLosses(self, data, means, shares, loss, ops.convert_to_tensor(rest))
            return self.balancing.follow(losses) / num_replicas()
        return (loss + rest) / num_replicas()  # whose gradients are added up

    def means_and_shares(self, values: Any, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Returns each task's mean loss on data, and by what it counts there, at other weights."""
        y_pred, _ = self.stateless_call(values, self.non_trainable_variables, x, training=True)
        taken_decisions(self.layers)  # from which nobody learns
        taken_log_odds(self)
        imputed = taken_imputations(self.layers)
        batch = self._batch(x, y, y_pred, sample_weight, imputed)
        totals, counts = batch.sums(self._loss_measures)
        weights = ops.array(self._task_weights, dtype="float32")
        return means_of(totals, counts), batch.shares(weights, counts)

    def _batch(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, imputed: Any) -> Any:
        """Returns a batch, or a part of it, in the form that shows it task by task."""
        units = self.standard_units
        if self.task_data == "separate":
            return SeparateBatch(self.tasks, x, y, y_pred, sample_weight, units)
        return SharedBatch(self.tasks, x, y, y_pred, sample_weight, imputed, units)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        given = self._checked_for_fit(named(super().fit, args, kwargs))
        if self.balancing is not None:
            check_batches(self.balancing, given.get("x"), given.get("batch_size"))
        check_batches_in_turns(self.optimizer, given.get("x"))
        given = with_batches(self, given)
        batches = given.get("x")
        log_weights = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: logs.update(self._weight_logs()),
        )
        own = [FollowEpochs(batches), log_weights, EmptyRowsWarning(), CoinFlipWarning()]
        given["callbacks"] = [*own, *keras.tree.flatten(given.get("callbacks") or [])]
        if isinstance(batches, IN_ORDER):
            given["shuffle"] = False
        given |= {name: prepared(given.get(name)) for name in ("x", "validation_data")}
        return super().fit(**given)

    def _weight_logs(self) -> dict[Any, Any]:
        """Returns the weights that balancing gives the tasks, for the logs of an epoch."""
        if self.balancing is None or not self.balancing.weighs_losses:
            return {}
        return {f"{task}_weight": w for task, w in self.balancing.task_weights.items()}

    def quantize(
        self,
        mode: Any = None,
        config: dict[str, Any] | None = None,
        filters: Any = None,
        **kwargs: Any,
    ) -> None:
        """Quantizes layers as `keras.Model.quantize` does, those that a file can tell of.

        Warns:
            UserWarning: Layers that another one makes, such as those of a gate or of a residual
                block, stay as they are.
        """
        filters, left = quantizable(self, filters)
        if left:
            warnings.warn(
                f"{', '.join(left)} stay as they are: a file of the network cannot say that a "
                "layer which another one makes is quantized.",
                stacklevel=2,
            )
        super().quantize(mode, config=config, filters=filters, **kwargs)
