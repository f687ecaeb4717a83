"""Which way is better: what a metric's name says."""

_ERRORS = ("error", "loss", "deviance", "entropy", "mae", "mse", "rmse")


def lower_is_better(name: str) -> bool:
    """Returns whether less is better of a metric or log, by the last word of its name.

    scikit-learn and Keras name errors so: `..._error`, `..._loss`, `..._deviance`, `mae`; so is
    `normalized_entropy`.
    """
    return name.split("_")[-1] in _ERRORS
