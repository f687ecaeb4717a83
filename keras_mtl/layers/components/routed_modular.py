"""Parallel components of which a task uses one: the others are not computed."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers.components import routed_ways
from keras_mtl.layers.components.drawn_shapes import may_depend_on_draws, rule_out_xla
from keras_mtl.layers.components.modular import Modular
from keras_mtl.layers.components.parallel_components import ParallelComponents
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.fusion import fusible
from keras_mtl.layers.growing import one_more_block
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class RoutedModular(ParallelComponents):
    """Runs parallel components of which every example uses one.

    It answers as `Modular` does, and leaves out what nobody asked for where that can be known:

    - rows in blocks by task, whose components are known for good (`routes`): each component
      runs on the rows of its tasks. Those on no route are never trained.
    - rows in blocks by task, whose components are drawn once for a block: equal Dense or
      convolutions run with the kernels of the drawn ones.
    - rows of examples in any order: where all use the same component, such as in a batch of
      one task, equal Dense or convolutions run with its kernel. Else each convolution runs on
      its own rows, and every Dense layer on all rows, in one large product. On JAX, whose shapes
      are fixed, both are products with a kernel for each row, or for each of the blocks of one
      component into which rows are sorted where kernels are larger than rows; convolutions
      have what they read at each place laid out in memory first, as large as their kernel is.

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
        components: Sequence[keras.Layer],
        combine: str = "mean",
        num_repeats: int = 1,
        num_blocks: Any = None,
        routes: Any = None,
        draws: str = "task",
        **kwargs: Any,
    ) -> None:
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
            for index, component in enumerate(self.components):
                component.trainable = component.trainable and index in self.routes

    def build(self, x_shape: Any, weights_shape: Shape) -> None:
        super().build(x_shape, weights_shape)
        convolve = self._equal() and not isinstance(self.components[0], keras.layers.Dense)
        apart = convolve and (self.num_blocks is None or self._draws_apart)
        self.supports_jit = not (rule_out_xla() and (apart or self._state_apart()))

    def _equal(self) -> Any:
        return fusible(self.components, self.compute_dtype)

    def _state_apart(self) -> Any:
        """Returns whether components with state have rows of their own, which are not known."""
        free = self.routes is None and self.num_repeats == 1 and may_depend_on_draws()
        return free and any(self._with_state)

    def call(self, x: Tensor, weights: Any, x_mask: Any = None, training: bool = False) -> Any:
        masked = any(mask is not None for mask in keras.tree.flatten(x_mask))
        return self._way(masked, training)(self, x, weights, training)

    def _way(self, masked: Any, training: bool) -> Any:
        """Returns how the components run, one of `routed_ways`."""
        if self._equal():
            return self._way_of_equals(training)
        if masked:  # blocks of rows would lose their mask
            return routed_ways.all_on_all_rows
        if self.routes is not None:
            return routed_ways.along_routes
        if training and self._state_apart():
            return routed_ways.each_on_its_rows
        return routed_ways.all_on_all_rows

    def _way_of_equals(self, training: bool) -> Any:
        if self.routes is not None:
            return routed_ways.kernels_of_routes
        if self.num_blocks is not None and not (training and self._draws_apart):
            return routed_ways.kernels_of_blocks
        dense, free = isinstance(self.components[0], keras.layers.Dense), may_depend_on_draws()
        apart = routed_ways.all_on_all_rows
        if self.num_repeats == 1 and not free:
            apart = routed_ways.in_sorted_blocks
        elif self.num_repeats == 1 and not dense:
            apart = routed_ways.equals_on_their_rows
        branches = self.num_blocks is None and (dense or free)
        return routed_ways.one_kernel_or(apart) if branches else apart

    def grown(self, new: Any) -> Any:
        """Becomes a `Modular`: the new task may use several components."""
        components = [new_layer_like(component) for component in self.components]
        repeats = one_more_block(self.num_repeats)
        return Modular(components, self.combine, repeats, name=self.name, dtype=self.dtype_policy)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_blocks": self.num_blocks,
            "routes": self.routes,
            "draws": self.draws,
        }
