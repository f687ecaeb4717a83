"""Penalties that rest on sums over the rows of a batch."""

from keras_mtl.replicas import current_step, over_replicas


def charge(layer, name, sums, price):
    """Adds a penalty to the loss, and keeps its value in `layer.penalties`.

    Args:
        layer: The layer that charges.
        name: Key of its `penalties`, which hold a variable.
        sums: Tuple of tensors, sums over the rows of the batch.
        price: Function of the sums that returns the penalty, a scalar. Where replicas share a
            batch it is asked later, by the model, for the sums over all of them.
    """

    def settle(sums):
        value = price(*sums)
        layer.penalties[name].assign(value)
        return value

    step = current_step()
    if step is None:
        layer.add_loss(settle(sums))
    else:
        step.charges.append((sums, settle))


def settled_charges():
    """Returns a list of what was charged for sums over a batch that several replicas share."""
    step = current_step()
    if step is None:
        return []
    charges, step.charges = step.charges, []
    sums = over_replicas([sums for sums, _ in charges]) if charges else []
    return [settle(whole) for whole, (_, settle) in zip(sums, charges, strict=True)]
