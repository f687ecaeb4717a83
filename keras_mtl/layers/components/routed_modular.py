"""Parallel components of which a task uses one: the others are not computed."""

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.components.component_state import has_state, kept_where
from keras_mtl.layers.components.modular import Modular
from keras_mtl.layers.components.row_blocks import row_blocks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.fusion import applied, fusible
from keras_mtl.layers.growing import one_more_block


@keras.saving.register_keras_serializable("keras_mtl")
class RoutedModular(Modular):
    """Runs parallel components of which every example uses one.

    It answers as `Modular` does, and leaves out what nobody asked for where that can be known:

    - rows in blocks by task, whose components are known for good (`routes`): each component
      runs on the rows of its tasks. Those on no route are never trained.
    - rows in blocks by task, whose components are drawn once for a block: equal Dense or
      convolutions run with the kernels of the drawn ones.
    - rows of examples in any order: where all use the same component, such as in a batch of
      one task, equal Dense or convolutions run with its kernel. Else each convolution runs on
      its own rows; on JAX, whose shapes are fixed, rows are sorted into blocks of one component,
      and about two are computed for each. Every Dense layer runs on all rows: one large product,
      which is as fast as sorting.

    Components that differ, or are neither Dense nor convolutions, all run on all rows, unless
    their routes are known. Those with state, such as batch statistics, run on their own rows in
    training; on JAX all rows run, and their own alone move the state. XLA knows no shapes that
    depend on what was drawn, and on CPU computes a convolution in a branch many times slower. So
    where convolutions or state have rows of their own, `fit` does without XLA on TensorFlow, and
    JAX without the branch.

    Args:
        components: As of `Modular`.
        combine: As of `Modular`. Defaults to `"mean"`.
        num_repeats: As of `Modular`. Defaults to 1.
        num_blocks: Number of blocks of rows, one after the other, or `None` for rows of
            examples. Defaults to `None`.
        routes: List of the component of each block, or `None`. Defaults to `None`.
        draws: `"example"` where in training the rows of a block differ, `"task"` where they
            never do. Defaults to `"task"`.

    Call arguments:
        x: As of `Modular`.
        weights: `(num_repeats * batch, len(components))`: 1 at the component of the row, else
            0; no gradient passes.

    Output shape:
        As of `Modular`.

    Raises:
        ValueError: As of `Modular`, routes that are not one for each block.

    Example:

    >>> constant = lambda value: keras.layers.Dense(
    ...     1, kernel_initializer=keras.initializers.Constant(value))
    >>> layer = RoutedModular([constant(1.0), constant(3.0), constant(8.0)])
    >>> weights = keras.ops.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    >>> keras.ops.convert_to_numpy(layer(keras.ops.ones((2, 1)), weights)).tolist()
    [[3.0], [3.0]]
    """

    def __init__(
        self,
        components,
        combine="mean",
        num_repeats=1,
        num_blocks=None,
        routes=None,
        draws="task",
        **kwargs,
    ):
        super().__init__(components, combine, num_repeats, **kwargs)
        self.num_blocks = num_blocks
        if num_blocks is not None:
            self.num_blocks = checks.count("num_blocks", num_blocks)
        self.routes = routes
        if routes is not None:
            self.routes = list(checks.counts("routes", routes, most=len(components) - 1))
            if len(self.routes) != num_blocks:
                raise ValueError(
                    f"routes must have a component for each of {num_blocks} blocks. Received: "
                    f"{routes}"
                )
        self.draws = checks.word("draws", draws, ("task", "example"))
        self._draws_apart = draws == "example" and routes is None
        if routes is not None:
            for place, component in enumerate(self.components):
                component.trainable = component.trainable and place in self.routes

    def build(self, x_shape, weights_shape):
        super().build(x_shape, weights_shape)
        apart = self._convolve(self._equal()) and (self.num_blocks is None or self._draws_apart)
        rows_apart = apart or self._state_apart()
        self.supports_jit = not rows_apart or keras.backend.backend() != "tensorflow"

    def _equal(self):
        return fusible(self.components, self.compute_dtype)

    def _convolve(self, equal):
        return equal and not isinstance(self.components[0], keras.layers.Dense)

    def _state_apart(self):
        """Returns whether components with state have rows of their own, which are not known."""
        free = self.routes is None and self.num_repeats == 1 and keras.backend.backend() != "jax"
        return free and any(self._with_state)

    def call(self, x, weights, x_mask=None, training=False):
        known, equal = self.routes is not None, self._equal()
        masked = any(mask is not None for mask in keras.tree.flatten(x_mask))
        if not equal and (masked or not known):  # blocks of rows would lose their mask
            if training and not masked and self._state_apart():
                return self._by_example(x, weights)
            return super().call(x, weights, training=training)
        convolves = self._convolve(equal)
        own_rows = convolves and self.num_repeats == 1
        apart = self._by_example if own_rows else super().call
        if self.num_blocks is None:
            if convolves and keras.backend.backend() == "jax":
                return apart(x, weights)
            return ops.cond(
                ops.all(weights == weights[:1]),  # a NaN is not the same as itself
                lambda: self._applied(x, *self._kernels(_choice_of(weights, axis=0))),
                lambda: apart(x, weights),
            )
        if known:
            return self._by_block(x, self.routes) if equal else self._by_route(x)
        if training and self._draws_apart:
            return apart(x, weights)
        drawn = ops.reshape(weights, (self.num_blocks, -1, len(self.components)))
        return self._by_block(x, _choice_of(drawn, axis=1))

    def _by_example(self, x, weights):
        """Runs each component on its own rows, and puts what they answer back in order."""
        places = ops.argmax(weights, axis=-1)
        if keras.backend.backend() == "jax":
            rows, slots, components = row_blocks(places, len(self.components))
            sorted_x = ops.take(x, rows, axis=0)
            outputs = self._in_blocks(sorted_x, components, 2 * len(self.components))
        else:
            chosen = [ops.nonzero(places == place)[0] for place in range(len(self.components))]
            answers = [self._on_rows(c, x, r) for c, r in zip(self.components, chosen, strict=True)]
            answers = [ops.cast(answer, self.compute_dtype) for answer in answers]
            outputs, slots = ops.concatenate(answers), ops.argsort(ops.concatenate(chosen))
        total = ops.sum(weights, axis=-1)  # 1, or NaN
        total = ops.reshape(total, (-1, *[1] * (len(outputs.shape) - 1)))
        return ops.take(outputs, slots, axis=0) * total

    def _on_rows(self, component, x, rows):
        """Runs a component on some rows; TensorFlow convolves no empty batch."""

        def taken(rows):
            return keras.tree.map_structure(lambda leaf: ops.take(leaf, rows, axis=0), x)

        if not has_state(component):
            with_first = ops.concatenate([ops.zeros((1,), rows.dtype), rows])
            return component(taken(with_first))[1:]
        number = ops.shape(rows)[0]
        or_first = ops.concatenate([rows, ops.zeros((1,), rows.dtype)])[: ops.maximum(number, 1)]
        with kept_where(ops.equal(number, 0), component):
            return component(taken(or_first))[:number]

    def _by_route(self, x):
        """Calls each component once, on the rows of its tasks."""
        if self.num_repeats == self.num_blocks:
            outputs = {place: self.components[place](x) for place in set(self.routes)}
            blocks = [outputs[place] for place in self.routes]
            return ops.cast(ops.concatenate(blocks), self.compute_dtype)
        rows = keras.tree.map_structure(lambda leaf: ops.split(leaf, self.num_blocks), x)
        blocks = [None] * self.num_blocks
        for place in dict.fromkeys(self.routes):
            own = [block for block, other in enumerate(self.routes) if other == place]
            joined = keras.tree.map_structure_up_to(
                x, lambda parts, own=own: ops.concatenate([parts[block] for block in own]), rows
            )
            outputs = ops.split(self.components[place](joined), len(own))
            for block, output in zip(own, outputs, strict=True):
                blocks[block] = output
        return ops.cast(ops.concatenate(blocks), self.compute_dtype)

    def _by_block(self, x, places):
        alone = self.num_repeats == self.num_blocks
        return self._in_blocks(x, places, self.num_blocks, alone)

    def _in_blocks(self, x, places, num_blocks, alone=False):
        """Applies the kernel of the component at a place to each block of rows.

        Args:
            alone: Whether `x` is one block, which all tasks read.
        """
        kernels, biases = self._kernels(places)
        if isinstance(self.components[0], keras.layers.Dense):
            rows = ops.reshape(x, (1 if alone else num_blocks, -1, x.shape[-1]))
            outputs = self._applied(rows, kernels, None if biases is None else biases[:, None])
            return ops.reshape(outputs, (-1, *ops.shape(x)[1:-1], outputs.shape[-1]))
        rows = [x] * num_blocks if alone else ops.split(x, num_blocks)
        return ops.concatenate(
            [
                self._applied(block, kernels[place], None if biases is None else biases[place])
                for place, block in enumerate(rows)
            ]
        )

    def _applied(self, x, kernel, bias):
        first = self.components[0]
        outputs = applied(first, x, kernel)
        if bias is not None:
            outputs = outputs + bias
        return outputs if first.activation is None else first.activation(outputs)

    def _kernels(self, places):
        """Returns stacked kernels and biases (or `None`) of the components at places."""
        known = isinstance(places, list)
        chosen = [self.components[place] for place in places] if known else self.components
        found = []
        for name in ["kernel", "bias"] if self.components[0].use_bias else ["kernel"]:
            weights = [getattr(one, name) for one in chosen]
            stack = ops.concatenate(weights, axis=0)  # TensorFlow stacks no variables
            stack = ops.reshape(stack, (len(weights), *weights[0].shape))
            found.append(stack if known else ops.take(stack, places, axis=0))
        return found if len(found) == 2 else [*found, None]

    def grown(self, new):
        """Becomes a `Modular`: the new task may use several components."""
        components = [new_layer_like(component) for component in self.components]
        repeats = one_more_block(self.num_repeats)
        return Modular(components, self.combine, repeats, name=self.name, dtype=self.dtype_policy)

    def get_config(self):
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "routes": self.routes,
            "draws": self.draws,
        }


def _choice_of(weights, axis):
    """Returns the component that equal rows along an axis have chosen; of no rows, the first."""
    return ops.argmax(ops.sum(weights, axis=axis), axis=-1)
