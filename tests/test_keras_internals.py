"""What this package uses of Keras that Keras does not promise to keep, piece by piece.

A newer Keras that fails here says which function of `keras_internals` needs another way, and what
would be wrong without it.
"""

import ast
import pathlib

import keras
import numpy as np
import pytest

from keras_mtl import keras_internals as internals

PACKAGE = pathlib.Path(internals.__file__).parent


@pytest.fixture
def network():
    """A nested network: inputs -> inner (two dense layers) -> head."""
    inner = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(5, name="b")],
        name="inner",
    )
    x = keras.Input((3,), name="inputs")
    return keras.Model(x, keras.layers.Dense(2, name="head")(inner(x)))


def test_a_sequential_has_a_graph(network):
    """Else nested models freeze as closed boxes."""
    graph = internals.graph_of(network.get_layer("inner"))
    assert [layer.name for layer in graph.layers[1:]] == ["a", "b"]


def test_a_subclass_with_a_call_of_its_own_has_no_graph(network):
    """Else what it does beside its graph is lost in frozen networks."""

    class Doubled(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    x = keras.Input((3,))
    assert internals.graph_of(Doubled(x, keras.layers.Dense(2)(x))) is None
    assert internals.graph_of(network) is network


def test_a_graph_runs_with_calls_of_our_own(network):
    """Else nothing freezes, streams or tells its costs."""
    seen = []

    def call(operation, *args, **kwargs):
        seen.append(operation.name)
        return operation(*args, **kwargs)

    x = np.ones((2, 3), "float32")
    answer = internals.run_graph(network, x, call)
    assert seen == ["inner", "head"]
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (answer, network(x))))


def test_masks_travel_with_tensors():
    """Else padding counts in frozen and in streaming networks."""
    ids = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(ids)
    mask = internals.mask_of(embedded)
    assert mask.shape == (None, 4) and internals.mask_of(ids) is None
    other = keras.Input((4, 3))
    internals.set_mask(other, mask)
    assert internals.mask_of(keras.layers.Dense(2)(other)) is mask


def test_tensors_know_where_they_come_from(network):
    """Else growth and costs do not see what a layer reads."""
    operation, read = internals.origin(network.output)
    assert operation is network.get_layer("head")
    (tensor,) = read
    assert tensor is network.get_layer("inner").output
    assert internals.origin(np.ones(2)) == (None, [])


def test_layers_know_their_calls(network):
    """Else growth, vocabularies and recurrent extensions read the wrong tensors."""
    head = network.get_layer("head")
    (read,) = internals.call_inputs(head)
    assert read is network.get_layer("inner").output
    (answered,) = internals.call_outputs(head)
    assert answered is network.output
    assert internals.num_outputs(head) == 1
    assert internals.places_read(head, read) == {0}
    assert internals.places_read(head, network.input) == set()


def test_layers_know_the_layers_in_them(network):
    """Else copies lose state, and freezing of trainable layers stops at the first depth."""
    inner = network.get_layer("inner")
    assert [layer.name for layer in internals.inner_layers(inner)][-2:] == ["a", "b"]
    names = [layer.name for layer in internals.with_inner_layers(inner)]
    assert names[0] == "inner" and names[-2:] == ["a", "b"]


def test_build_of_its_own_is_told_from_that_of_calls(network):
    """Else copies of layers make no weights before they are called."""

    class Scaled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    assert internals.has_own_build(keras.layers.Dense(2))
    assert not internals.has_own_build(Scaled())
    assert not internals.has_own_build(network)


def test_a_lambda_knows_its_output_shape():
    """Else copies of a Lambda ask for the shape that they were given."""
    layer = keras.layers.Lambda(lambda x: x[..., :1], output_shape=(1,))
    assert internals.lambda_output_shape(layer) == (1,)
    assert internals.lambda_output_shape(keras.layers.Lambda(abs)) is None


def test_a_metric_knows_its_function():
    """Else a metric that cannot be right for a task is taken when it is wrapped."""
    function = keras.metrics.categorical_accuracy
    assert internals.function_of(keras.metrics.MeanMetricWrapper(function)) is function


def test_optimizers_know_their_variables_and_state():
    """Else limits of gradients, absent tasks and copies of components leave state behind."""
    first, second = (keras.Variable([1.0, 2.0], name=name) for name in "ab")
    inner = keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)
    other = keras.optimizers.SGD(0.1)
    both = keras.optimizers.MultiOptimizer(lambda v: inner if v.name == "a" else other)
    both.build([first, second])
    assert [v.name for v in internals.trained_variables(both)] == ["a", "b"]
    assert internals.optimizer_of(both, first) is inner
    assert internals.optimizer_of(both, second) is other
    kept = internals.optimizer_state(both, first)
    assert len(kept) == 3  # two averages, and the sum of gradients
    sums = internals.gradient_accumulator(inner, first)
    assert any(state is sums for state in kept)
    assert internals.gradient_accumulator(other, second) is None
    assert internals.optimizer_state(both, second) == []


def test_a_model_forgets_what_it_tracked(network):
    """Else a second compile logs the metrics of the first."""
    network.extra = keras.metrics.Mean(name="extra")
    assert "extra" in [metric.name for metric in network.metrics]
    internals.untrack(network, network.extra)
    assert "extra" not in [metric.name for metric in network.metrics]


class Hooked(internals.ModelHooks, keras.Model):
    def epoch_logs(self, logs):
        return {**super().epoch_logs(logs), "said": 1.0}

    def logs_in_order(self, logs):
        return [*super().logs_in_order(logs), 2.0]


@pytest.fixture
def hooked():
    x = keras.Input((3,))
    model = Hooked(x, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    return model


def test_fit_logs_and_evaluate_lists_what_the_hooks_say(hooked):
    """Else tasks have no logs of their own."""
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    assert hooked.fit(x, y, verbose=0).history["said"] == [1.0]
    assert hooked.evaluate(x, y, verbose=0)[-1] == 2.0


def test_fit_begins_where_it_is_told(hooked):
    """Else a resumed run trains its epochs again."""

    class Late(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            internals.begin_at_epoch(self.model, 3)

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)

    seen = []
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    hooked.fit(x, y, epochs=5, verbose=0, callbacks=[Late()])
    assert seen == [3, 4]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras takes values out on JAX only")
def test_values_that_jax_took_are_at_hand(hooked):
    """Else a refused step leaves a network without weights."""
    state = hooked._get_jax_state(trainable_variables=True, non_trainable_variables=True)
    taken = hooked._jax_state["trainable_variables"]
    assert all(one is other for one, other in zip(taken, state[0], strict=True))


def private_names_of_keras():
    """Returns the names with an underscore that objects of Keras have."""
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    adam = keras.optimizers.Adam()
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: adam)
    model.compile(optimizer, "mse", metrics=["mae"])
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))
    made = [model, model.layers[1], optimizer, optimizer.optimizers[0], model.output]
    made += [*model.metrics, model.layers[1]._inbound_nodes[0], keras.layers.Lambda(abs)]
    return private_names(*made)


def private_names(*objects):
    return {name for one in objects for name in dir(one) if name[0] == "_" and name[1] != "_"}


def test_nothing_private_is_used_elsewhere():
    private = private_names_of_keras()
    methods = private_names(keras.Model, keras.optimizers.MultiOptimizer, keras.metrics.Metric)
    assert {"_flatten_layers", "_tracker", "_keras_history", "_metrics"} <= private
    found = []
    for file in PACKAGE.rglob("*.py"):
        if file.name == "keras_internals.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in private:
                found.append(f"{file}:{node.lineno} uses {node.attr}")
            elif isinstance(node, ast.ClassDef):
                own = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                found += [f"{file}:{node.lineno} overrides {name}" for name in own & methods]
            elif isinstance(node, ast.ImportFrom | ast.Import) and "keras.src" in ast.unparse(node):
                found.append(f"{file}:{node.lineno} imports keras.src")
    assert found == []
