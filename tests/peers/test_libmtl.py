"""The same networks in LibMTL, with the same weights, answer the same.

Its PLE is another network than the paper's (each task's own features pass the shared experts, and
nothing is shared between levels) and needs a ResNet, so its CGC, one level, stands for it.
"""

import importlib.util
import sys
import types
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

torch = pytest.importorskip("torch")
SPEC = importlib.util.find_spec("LibMTL")
pytestmark = pytest.mark.skipif(SPEC is None, reason="LibMTL is not installed")

SIZES = {"width": 1, "place": 3, "color": 2}
TASKS = {name: keras_mtl.Task("regression", size) for name, size in SIZES.items()}
X = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
dense = partial(keras.layers.Dense, 4, activation="relu")


@pytest.fixture
def architecture(monkeypatch):
    """LibMTL's architectures alone: the package itself needs a torchvision of its time."""
    package = types.ModuleType("LibMTL")
    package.__path__ = list(SPEC.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "LibMTL", package)
    yield importlib.import_module("LibMTL.architecture")
    for name in [name for name in sys.modules if name.startswith("LibMTL.")]:
        del sys.modules[name]


def peer(network, num_experts, **settings):
    torch.manual_seed(0)
    decoders = torch.nn.ModuleDict({name: torch.nn.Linear(4, n) for name, n in SIZES.items()})
    encoder = lambda: torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU())  # noqa: E731
    made = network(
        list(SIZES), encoder, decoders, False, False, torch.device("cpu"),
        img_size=[5], num_experts=num_experts, **settings,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5)
    return made.eval()


def linear(layer):
    """Returns kernel and bias of one of its linear layers, as Keras has them."""
    return [layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()]


def give_experts_and_heads(model, experts, made, holder):
    for component, expert in zip(model.get_layer(holder).components, experts, strict=True):
        component.set_weights(linear(expert[0]))
    for name in SIZES:
        model.get_layer(name).set_weights(linear(made.decoders[name]))


def assert_equal_answers(model, made):
    with torch.no_grad():
        wanted = made(torch.from_numpy(X))
    for name, found in model(X).items():
        assert np.abs(wanted[name].numpy()).max() > 0.1
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(found), wanted[name].numpy(), rtol=1e-5, atol=1e-5
        )


def gates_of(layers):
    """Returns the linear layers of all tasks side by side, features by tasks by units."""
    kernels, biases = zip(*(linear(layers[name]) for name in SIZES), strict=True)
    return [np.stack(kernels, axis=1), np.stack(biases)]


def test_mmoe(architecture):
    made = peer(architecture.MMoE, [6])
    model = keras_mtl.build_mmoe(keras.Input((5,)), TASKS, [[dense] * 6])
    give_experts_and_heads(model, made.experts_shared, made, "modular_1")
    gates = {name: made.gate_specific[name][0] for name in SIZES}
    model.get_layer("gates_1").set_weights(gates_of(gates))
    assert_equal_answers(model, made)


def test_cgc(architecture):
    made = peer(architecture.CGC, [3, 2, 2, 2])
    model = keras_mtl.build_ple(keras.Input((5,)), TASKS, [[dense] * 9], task_experts=2)
    own = [expert for name in SIZES for expert in made.experts_specific[name]]
    give_experts_and_heads(model, [*own, *made.experts_shared], made, "experts_1")
    for gate, name in zip(model.get_layer("gates_1").gates, SIZES, strict=True):
        kernel, bias = linear(made.gate_specific[name][0])  # shared experts come first there
        order = [3, 4, 0, 1, 2]
        gate.set_weights([kernel[:, order], bias[order]])
    assert_equal_answers(model, made)


@pytest.mark.parametrize("num_experts", [4, 6])
def test_dselect_k(architecture, num_experts):
    made = peer(architecture.DSelect_k, [num_experts], num_nonzeros=2, kgamma=1.0)
    codes = [[digit == "1" for digit in np.binary_repr(n, 3)] for n in range(num_experts)]
    digits = made._num_binary  # numpy 2 reads its "0" as true
    made._binary_codes = torch.tensor(codes)[None, :, 3 - digits :]
    model = keras_mtl.build_dselect_k(keras.Input((5,)), TASKS, [[dense] * num_experts])
    give_experts_and_heads(model, made.experts_shared, made, "modular_1")
    gates = model.get_layer("gates_1")
    for name, layers in (("code", made._z_logits), ("weight", made._w_logits)):
        for variable, value in zip(gates.linear[name], gates_of(layers), strict=True):
            variable.assign(value)
    assert_equal_answers(model, made)
