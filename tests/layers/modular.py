"""What the tests of modular encoders share: their formulas in NumPy, noise and connections."""

import itertools

import numpy as np
from keras import ops

from keras_mtl.layers import SubEncoders
from keras_mtl.layers.routers import gumbel


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def scrambled(layer, seed=0):
    """Gives everything that is learned random values, biases too."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def policies(layer):
    """Returns the policy networks of sub-encoders or of a decoder."""
    return layer.policies if isinstance(layer, SubEncoders) else [layer.policy]


def force(layers, opened):
    """Opens or closes every connection that these layers decide about."""
    for layer in layers:
        for policy in policies(layer):
            policy.dense[-1].bias.assign([-500, 500] if opened else [500, -500])


def without_preference(layer):
    """Makes every decision of a layer a fair coin."""
    for policy in policies(layer):
        for variable in policy.trainable_variables:
            variable.assign(np.zeros(variable.shape))
    return layer


class GivenNoise:
    """Stands in for what routers draw: noise for each, by its random generator."""

    def __init__(self, monkeypatch):
        self.noise = {}
        monkeypatch.setattr(gumbel, "logistic_noise", self)

    def __call__(self, shape, generator):
        noise = self.noise[id(generator)]
        assert tuple(shape) == noise.shape
        return ops.convert_to_tensor(noise)

    def draw(self, layer, *shape, seed=0):
        """Gives the router of a layer noise of a shape, and returns it."""
        noise = np.random.default_rng(seed).logistic(size=shape).astype("float32")
        self.noise[id(layer.router.seed_generator)] = noise
        return noise

    def step_by_step(self):
        """Gives, in turn, the noise of each time step, the second axis."""
        whole = self.noise
        for step in range(next(iter(whole.values())).shape[1]):
            self.noise = {router: noise[:, step] for router, noise in whole.items()}
            yield step
        self.noise = whole


# The formulas, on arrays


def relu(x):
    return np.maximum(x, 0)


def linear(x):
    return x


def mlp(layer, x, last=relu):
    """Returns what a network of dense layers answers."""
    for depth, dense in enumerate(layer.dense, start=1):
        kernel, bias = dense.get_weights()
        x = (last if depth == len(layer.dense) else relu)(x @ kernel + bias)
    return x


def log_odds(policy, x):
    """Returns what a policy says for connecting: the second score above the first."""
    scores = mlp(policy, x, linear)
    return scores[..., 1] - scores[..., 0]


def mean_of(sources, opened):
    """Returns the mean of the sources (the axis before the last) that are open, else zeros."""
    number = np.maximum(opened.sum(axis=-1, keepdims=True), 1)
    return (opened[..., None] * sources).sum(axis=-2) / number


def seen(layer, x):
    """Returns what a policy sees of sources: normalized, unless its layer says otherwise."""
    if not layer.normalize_policies:
        return x
    variance = x.var(axis=-1, keepdims=True) + 1e-3
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance)


def sub_encoders(layer, sources, noise=0.0):
    """Returns outputs and decisions of a layer of sub-encoders, Eqs. 2 to 5."""
    shown = seen(layer, sources)
    logits = np.stack([log_odds(policy, shown) for policy in layer.policies], axis=-2) + noise
    opened = (logits >= 0).astype("float32")
    outputs = [
        mlp(network, mean_of(sources, opened[..., j, :]))
        for j, network in enumerate(layer.networks)
    ]
    return np.stack(outputs, axis=-2), opened


def encoder(cell, x, noise=()):
    """Returns outputs and decisions of an encoder over sequences, Eqs. 1 to 5."""
    sources = np.stack([lstm(layer, x) for layer in cell.lstms], axis=-2)
    if cell.projection:
        sources = sources @ cell.projection.get_weights()[0]
    outputs, decisions = [], []
    for layer, its_noise in itertools.zip_longest(cell.sub_encoders, noise, fillvalue=0.0):
        sources, opened = sub_encoders(layer, sources, its_noise)
        outputs.append(sources)
        decisions.append(opened.reshape(*opened.shape[:2], -1))
    return np.concatenate(outputs, axis=-2), np.concatenate(decisions, axis=-1)


def decoder(layer, x, features=None, noise=0.0):
    """Returns outputs and decisions of a task's decoder, Eqs. 6 and 7 and the text around."""
    shown = seen(layer, x)
    if features is not None:
        projected = seen(layer, features @ layer.projection.get_weights()[0])
        shown = np.concatenate([shown, np.broadcast_to(projected[:, :, None], x.shape)], axis=-1)
    opened = (log_odds(layer.policy, shown) + noise >= 0).astype("float32")
    outputs, start = [], 0
    for sub_decoder, number in zip(layer.sub_decoders, layer.num_sub_encoders, strict=True):
        its = slice(start, start + number)
        outputs.append(mlp(sub_decoder, mean_of(x[..., its, :], opened[..., its])))
        start += number
    return np.concatenate(outputs, axis=-1), opened


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def lstm(layer, x):
    """Returns the states h of an LSTM at every step."""
    kernel, recurrent, bias = layer.get_weights()
    h = c = np.zeros((len(x), layer.units))
    states = []
    for step in range(x.shape[1]):
        gates = x[:, step] @ kernel + h @ recurrent + bias
        write, keep, new, show = np.split(gates, 4, axis=-1)
        c = sigmoid(keep) * c + sigmoid(write) * np.tanh(new)
        h = sigmoid(show) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)
