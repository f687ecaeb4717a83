"""Rewards of decisions: how well every row was answered, told to those who decided."""

from typing import Any

from keras import ops

from keras_mtl.training.losses import accuracy_measure, loss_measure, means_of


def taken_decisions(layers: Any) -> Any:
    """Takes away what layers decided in this step: list of pairs, a layer and its decisions.

    A layer that decides keeps `decisions`. Replicas that share a batch go through the same
    layers, so decisions are taken before one waits for the others.
    """
    taken = []
    for layer in layers:
        if getattr(layer, "decisions", None) is not None:
            taken.append((layer, layer.decisions))
            layer.decisions = None
    return taken


def learn_from_rewards(decisions: Any, batch: Any) -> Any:
    """Tells layers that decided in this step what each row's answer was worth.

    A layer that decides says in `reward` what it is rewarded for. `bonus(rewards)` is what it
    pays itself, to it and to those before it; `learn(returns, valid)` moves its policy.

    Args:
        decisions: What `taken_decisions` returned, layers in order of depth.
        batch: `SharedBatch` or `SeparateBatch`.

    Returns:
        What the layers add to the loss.
    """
    rewards_asked = {layer.reward for layer, _ in decisions}
    earned = {reward: row_rewards(batch, reward) for reward in rewards_asked}
    loss, bonuses = 0.0, 0.0
    for layer, its_own in reversed(decisions):
        layer.decisions = its_own
        rewards, valid = earned[layer.reward]
        bonuses = bonuses + layer.bonus(rewards)
        loss = loss + layer.learn(rewards + bonuses, valid)
    return loss


def check_rewards_come(layers: Any) -> None:
    """Raises a `ValueError` for layers that would wait for rewards in vain."""
    for layer in layers:
        if hasattr(layer, "learn"):
            raise ValueError(
                f"Layer {layer.name!r} learns from how well the tasks are answered, which stock "
                "losses do not tell. Leave compile(loss=...) out and put a task's own loss in "
                "keras_mtl.Task."
            )


def row_rewards(batch: Any, reward: Any) -> tuple[Any, Any]:
    """Returns the reward of each row of a network, and whether it has one: a label.

    `"accuracy"` is 1 for a correct answer and -1 for a wrong one, over the labelled steps or
    elements of an example their mean; where tasks know no correct answer, and with `"loss"`,
    it is minus the loss. Rows are examples; with shared data a block of them per task.
    """
    accuracies, losses = {}, {}
    for name, task in batch.tasks.items():
        measure = accuracy_measure(task) if reward == "accuracy" else None
        if measure is None:
            losses[name] = loss_measure(task)
        else:
            accuracies[name] = measure
    right, num_right = batch.rows(accuracies)
    lost, num_lost = batch.rows(losses)
    rewards = 2.0 * means_of(right, num_right) - ops.cast(num_right > 0, "float32")
    rewards = rewards - means_of(lost, num_lost)
    return ops.stop_gradient(rewards), ops.cast(num_right + num_lost > 0, "float32")
