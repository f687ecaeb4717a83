"""`correct_sampling`: a network that was trained on few negatives answers as on all of them."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.calibration.copies import check_has_heads, rescaled_copy
from keras_mtl.kinds import KINDS
from keras_mtl.training import MultiTaskModel


def correct_sampling(model: keras.Model, kept: Mapping[str, float]) -> MultiTaskModel:
    """Returns a copy of a network that answers as if no negatives had been left out of its data.

    Where a share `w` of the examples with label 0 was kept for training, a network's probability
    `p` is too large. That of all the data is `p / (p + (1 - p) / w)`, whose logit is that of `p`
    plus `log(w)`: a shift of the head's bias, which `freeze` and every export keep. The order of
    examples stays, and so does each AUC.

    Source: He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014,
    section 6.3.

    Args:
        model: A model made by a builder of this package. It stays as it is.
        kept: Dict, name of a task of kind `"binary"` or `"multilabel"` -> the share of its negative
            examples that was kept, in (0, 1]. Of a task that is given another these are the
            examples whose parent is 1 and which are 0 themselves: where clicks were all kept, a
            purchase that is given a click needs no correction.

    Returns:
        An uncompiled model of its own with the same tasks.

    Raises:
        ValueError: A frozen model, a task that is none or has other labels, a share outside (0, 1].

    Example:

    >>> import numpy as np
    >>> dense = lambda: keras.layers.Dense(4)
    >>> model = keras_mtl.build_shared_bottom(keras.Input((3,)), {"click": "binary"}, [dense])
    >>> x = np.zeros((1, 3))  # where a new network answers 0.5
    >>> corrected = keras_mtl.correct_sampling(model, kept={"click": 0.1})
    >>> round(corrected.predict(x, verbose=0)["click"].item(), 4)  # 0.5 / (0.5 + 0.5 / 0.1)
    0.0909
    """
    check_has_heads("correct_sampling", model)
    checks.mapping("kept", kept, "name of a task -> the share of its negatives that was kept")
    for name, share in kept.items():
        if name not in model.tasks:
            raise ValueError(
                f"kept has an entry {name!r}, which is no task of this model. "
                f"Tasks: {', '.join(model.tasks)}"
            )
        kind = model.tasks[name].kind
        if not KINDS[kind].shifts:
            raise ValueError(
                f"Negatives are examples with label 0 of a task with labels 0 and 1, but task "
                f"{name!r} of kind {kind!r} {KINDS[kind].form}."
            )
        checks.fraction(f"kept[{name!r}]", share)
    return rescaled_copy(model, {name: (1.0, np.log(share)) for name, share in kept.items()})
