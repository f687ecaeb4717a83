import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import Task
from keras_mtl.layers import FunnelHead
from keras_mtl.layers.heads.funnel_head import taken_imputations

FEATURES = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], "float32")
PARENT = np.array([[0.5], [0.25], [1.0]], "float32")
LN3 = np.log(3.0)


def head(estimator="entire"):
    layer = FunnelHead(Task("binary", given="click", estimator=estimator), 1, name="buy")
    layer.build((None, 2), (None, 1))
    layer.kernel.assign([[LN3], [-LN3]])  # probabilities 3/4, 1/4, 1/2
    return layer


def test_the_joint_probability_is_the_product():
    joint, conditional = map(ops.convert_to_numpy, head()(FEATURES, PARENT))
    np.testing.assert_allclose(conditional, [[0.75], [0.25], [0.5]], rtol=1e-6)
    np.testing.assert_allclose(joint, [[0.375], [0.0625], [0.5]], rtol=1e-6)


def test_dr_imputes_labels_in_training_alone():
    layer = head("dr")
    layer.imputation_bias.assign([LN3])
    layer.imputation_kernel.assign([[0.0], [-LN3]])
    layer(FEATURES, PARENT, training=False)
    assert taken_imputations([layer]) == {}
    layer(FEATURES, PARENT, training=True)
    taken = taken_imputations([layer])
    found = ops.convert_to_numpy(taken["buy"])
    np.testing.assert_allclose(found, [[0.75], [0.5], [0.25]], rtol=1e-6)
    assert taken_imputations([layer]) == {}


def test_others_have_nothing_to_impute_with():
    layer = head("ipw")
    layer(FEATURES, PARENT, training=True)
    assert taken_imputations([layer]) == {}
    assert [weight.name for weight in layer.weights] == ["kernel", "bias"]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_it_computes_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        outputs = head()(ops.cast(FEATURES, "bfloat16"), PARENT)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(output.dtype) for output in outputs} == {"float32"}


def test_a_task_that_is_given_none_is_refused():
    with pytest.raises(ValueError, match="needs a task that is given another"):
        FunnelHead(Task("binary"), 1)


def test_sequences_are_refused():
    with pytest.raises(ValueError, match="'buy' of kind 'binary' needs features of shape"):
        FunnelHead(Task("binary", given="click"), 1, name="buy")(np.zeros((2, 3, 4)), PARENT)
