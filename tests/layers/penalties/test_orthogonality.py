import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import BiLSTM, SubspaceOrthogonality
from keras_mtl.layers.penalties.orthogonality import lstm_orthogonality
from tests.gradients import gradient

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(5, 6)).astype("float32")  # 5 features, 6 units: 2 x 3 or 3 x 2
X = RNG.normal(size=(2, 3, 5)).astype("float32")  # B = 2, 3 steps
ORIENTATIONS = ["units", "reference"]


def penalty(kernel, **settings):
    settings = {"weight": 1.0, **settings}
    return float(ops.convert_to_numpy(SubspaceOrthogonality(**settings)(kernel)))


def eq_4(kernel, num_subspaces=2, orientation="units"):
    """The sum over pairs of subspaces of the squared norm of their products, in NumPy."""
    parts = np.split(np.asarray(kernel, "float64"), num_subspaces, axis=-1)
    products = [
        first.T @ second if orientation == "units" else first @ second.T
        for first, second in itertools.combinations(parts, 2)
    ]
    return sum(np.sum(product**2) for product in products)


def loss_of(layer, x=X):
    layer(x)
    return float(sum(ops.convert_to_numpy(loss) for loss in layer.losses))


# Numbers


def test_every_unit_of_one_subspace_meets_every_unit_of_the_other():
    kernel = np.array([[1.0, 2.0, 3.0, 0.0], [0.0, 1.0, -1.0, 2.0]])
    # units (1, 0) and (2, 1) against (3, -1) and (0, 2): products 3, 0, 5, 2
    assert penalty(kernel) == 9 + 0 + 25 + 4


def test_the_reference_pairs_units_by_number():
    kernel = np.array([[1.0, 2.0, 3.0, 0.0], [0.0, 1.0, -1.0, 2.0]])
    # rows (1, 2) and (0, 1) of one against (3, 0) and (-1, 2) of the other: 3, 3, 0, 2
    assert penalty(kernel, orientation="reference") == 9 + 9 + 0 + 4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("num_subspaces", [1, 2, 3, 6])
def test_the_penalty_is_the_papers(num_subspaces, orientation):
    expected = eq_4(KERNEL, num_subspaces, orientation)
    found = penalty(KERNEL, num_subspaces=num_subspaces, orientation=orientation)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found > 0 or num_subspaces == 1


def test_the_weight_is_a_factor():
    assert penalty(KERNEL, weight=0.0) == 0
    np.testing.assert_allclose(penalty(KERNEL, weight=0.25), penalty(KERNEL) / 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("num_subspaces", "orientation", "number"),
    [(2, "units", 3 * 3), (2, "reference", 5 * 5), (3, "units", 3 * 2 * 2), (1, "units", 1)],
)
def test_normalized_is_the_mean_of_the_squares(num_subspaces, orientation, number):
    found = penalty(KERNEL, num_subspaces=num_subspaces, orientation=orientation, normalize=True)
    expected = eq_4(KERNEL, num_subspaces, orientation) / number
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_normalized_gates_are_averaged_too():
    kernel = np.concatenate([KERNEL, 2 * KERNEL], axis=1)
    expected = (eq_4(KERNEL) + eq_4(2 * KERNEL)) / (2 * 3 * 3)
    np.testing.assert_allclose(penalty(kernel, num_gates=2, normalize=True), expected, rtol=1e-5)


@pytest.mark.parametrize("gate", [None, 0, 2])
def test_each_gate_is_penalized_on_its_own(gate):
    gates = [KERNEL * scale for scale in (1.0, -2.0, 0.5, 3.0)]
    chosen = gates if gate is None else [gates[gate]]
    found = penalty(np.concatenate(gates, axis=1), num_gates=4, gate=gate)
    np.testing.assert_allclose(found, sum(eq_4(part) for part in chosen), rtol=1e-5)


def test_the_gradient_is_that_of_the_formula():
    kernel = keras.Variable(KERNEL)
    first, second = KERNEL[:, :3], KERNEL[:, 3:]
    expected = 2 * np.concatenate([second @ second.T @ first, first @ first.T @ second], axis=1)
    regularizer = SubspaceOrthogonality(weight=0.5)
    np.testing.assert_allclose(
        gradient(lambda: regularizer(kernel), kernel), 0.5 * expected, rtol=1e-4
    )


# Zero, and what changes nothing


def test_zero_where_the_subspaces_read_different_features():
    kernel = np.zeros((5, 6), "float32")
    kernel[:2, :3], kernel[2:, 3:] = KERNEL[:2, :3], KERNEL[2:, 3:]
    assert penalty(kernel) == 0
    assert penalty(kernel, orientation="reference") > 0.1


def test_zero_where_all_units_of_one_are_orthogonal_to_all_of_the_other_and_only_there():
    basis, _ = np.linalg.qr(KERNEL[:, :5])
    first = basis[:, :2] @ RNG.normal(size=(2, 3))
    kernel = np.concatenate([first, basis[:, 2:] @ RNG.normal(size=(3, 3))], axis=1)
    assert penalty(kernel.astype("float32")) < 1e-10
    kernel[:, 4] += 0.1 * basis[:, 0]
    assert penalty(kernel.astype("float32")) > 1e-3


def test_the_order_of_units_in_a_subspace_does_not_matter_but_to_the_reference():
    permuted = KERNEL[:, [2, 0, 1, 3, 4, 5]]
    np.testing.assert_allclose(penalty(permuted), penalty(KERNEL), rtol=1e-5)
    reference = [penalty(kernel, orientation="reference") for kernel in (permuted, KERNEL)]
    assert abs(reference[0] - reference[1]) > 0.1
    exchanged = KERNEL[:, [3, 1, 2, 0, 4, 5]]  # across subspaces
    assert abs(penalty(exchanged) - penalty(KERNEL)) > 0.1


def test_the_order_of_subspaces_does_not_matter():
    for orientation in ORIENTATIONS:
        swapped = penalty(KERNEL[:, [3, 4, 5, 0, 1, 2]], orientation=orientation)
        np.testing.assert_allclose(swapped, penalty(KERNEL, orientation=orientation), rtol=1e-5)


# In layers


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_dense_layer_is_penalized(orientation):
    layer = layers.Dense(6, kernel_regularizer=SubspaceOrthogonality(orientation=orientation))
    found = loss_of(layer)
    np.testing.assert_allclose(
        found, 0.1 * eq_4(layer.get_weights()[0], orientation=orientation), rtol=1e-5
    )


def test_a_convolution_reads_patches():
    layer = layers.Conv1D(6, 2, kernel_regularizer=SubspaceOrthogonality(3))
    found = loss_of(layer)
    kernel = layer.get_weights()[0].reshape(2 * 5, 6)
    np.testing.assert_allclose(found, 0.1 * eq_4(kernel, 3), rtol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["LSTM", "BiLSTM"])
@pytest.mark.parametrize(
    ("part", "kernels"),
    [
        ("input_gate_recurrent", [(1, [0])]),
        ("input_kernel", [(0, [0, 1, 2, 3])]),
        ("all", [(0, [0, 1, 2, 3]), (1, [0, 1, 2, 3])]),
    ],
)
def test_an_lstm_is_penalized_in_the_asked_part_gate_by_gate(part, kernels, bidirectional):
    settings = lstm_orthogonality(part, num_subspaces=3, weight=0.1)
    layer = BiLSTM(6, **settings) if bidirectional else layers.LSTM(6, **settings)
    found, weights = loss_of(layer), layer.get_weights()
    directions = [weights[:3], weights[3:]] if bidirectional else [weights]
    expected = sum(
        eq_4(np.split(direction[place], 4, axis=1)[gate], 3)
        for direction in directions
        for place, gates in kernels
        for gate in gates
    )
    np.testing.assert_allclose(found, 0.1 * expected, rtol=1e-5)


def test_the_gate_of_the_reference_is_the_one_that_lets_the_input_in():
    layer = layers.LSTM(2, return_sequences=True)
    layer.build(X.shape)
    kernel, recurrent_kernel, bias = layer.get_weights()
    bias[:2] = -30.0  # closed for good: nothing is ever written
    layer.set_weights([kernel, recurrent_kernel, bias])
    assert np.all(np.abs(ops.convert_to_numpy(layer(X))) < 1e-6)
    assert lstm_orthogonality("input_gate_recurrent", 2, 0.1)["recurrent_regularizer"].gate == 0


def test_the_penalty_is_worked_out_in_full_precision():
    half = ops.cast(100 * KERNEL, "float16")  # its squares overflow in float16
    value = SubspaceOrthogonality(weight=1.0)(half)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_allclose(float(ops.convert_to_numpy(value)), eq_4(100 * KERNEL), rtol=1e-2)


def test_the_regularizer_survives_its_config():
    regularizer = SubspaceOrthogonality(3, 0.25, 4, 2, "reference", True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(regularizer))
    assert type(copy) is SubspaceOrthogonality
    assert copy.get_config() == regularizer.get_config()
    kernel = np.tile(KERNEL, (1, 4))
    assert float(ops.convert_to_numpy(copy(kernel))) == float(
        ops.convert_to_numpy(regularizer(kernel))
    )


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_an_unknown_orientation_is_an_error():
    wanted = 'orientation must be "units" or "reference". Received: \'columns\''
    with refused(wanted):
        SubspaceOrthogonality(orientation="columns")


def test_a_negative_weight_is_an_error():
    with refused("weight must be a number of at least 0. Received: -1"):
        SubspaceOrthogonality(weight=-1)


@pytest.mark.parametrize(("subspaces", "gates"), [(4, 1), (2, 2), (3, 4)])
def test_a_kernel_that_cannot_be_split_is_an_error(subspaces, gates):
    wanted = f"width 6 cannot be split into {gates} gates of {subspaces} subspaces. Choose units"
    with refused(wanted):
        penalty(KERNEL, num_subspaces=subspaces, num_gates=gates)


def test_an_unknown_part_of_an_lstm_is_an_error():
    wanted = 'orthogonality must be "input_gate_recurrent", "input_kernel" or "all"'
    with refused(wanted):
        lstm_orthogonality("inputs", 2, 0.1)
