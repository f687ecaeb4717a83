"""What a layer becomes when it is frozen, called on arrays."""

import keras

from keras_mtl.layers.freezing import FrozenCall, FrozenNetwork


class _SameLayers(FrozenNetwork):
    """Stands for layers by themselves, and writes down the names that copies would get."""

    def __init__(self):
        super().__init__(None, None)
        self.names = []

    def stand_in(self, layer, name):
        self.names.append(name)
        return layer


def frozen(layer, *inputs, task_id=0, mask=None, method="frozen"):
    """Returns what `layer.frozen` answers, and the names of the stock layers it calls."""
    network = _SameLayers()
    inputs = keras.tree.map_structure(
        lambda x: x if isinstance(x, int) or x is None else keras.ops.convert_to_tensor(x), inputs
    )
    answer = getattr(layer, method)(FrozenCall(network, task_id, mask), *inputs)
    return answer, network.names
