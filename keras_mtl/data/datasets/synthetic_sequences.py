"""Synthetic sequence tasks whose relatedness changes over time, and is known."""

from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.tasks import Task

# Relatedness of the pairs (1, 2), (1, 3), (2, 3), one row a segment.
PRESETS = {
    "more": [(1.0, 0.8, 0.8), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.8, 1.0, 0.8)],
    "less": [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)],
}
TRAIN, TEST = 1, 2  # parts of what a seed draws


def synthetic_sequences(
    relatedness: str = "more",
    *,
    kind: str = "classes",
    switch: str = "position",
    num_train: int = 500,
    num_test: int = 500,
    num_steps: int = 28,
    input_dim: int = 10,
    num_classes: int = 3,
    signal: float = 0.5,
    seed: int = 0,
) -> tuple[Any, Any, Any, Any]:
    """Classification of sequences, by tasks that are related at some times and not at others.

    `x_t = signal * A x_{t-1} + sqrt(1 - signal^2) * e_t`, where `x_1` and all `e_t` are N(0, I)
    and A turns each of `input_dim / 2` orthogonal planes by one of the angles `2 pi c /
    num_classes`, c = 0, 1, .... Time is cut in segments. In each of them a task has a plane of
    its own, whose c is the label; the c of the other planes are random. Two tasks of the
    relatedness r in a segment have planes with orthonormal bases `E_1`, `E_2` such that `E_1^T
    E_2 = r I`: the same plane for r = 1, orthogonal planes for r = 0.

    A step alone is N(0, I) whatever the label, and `-x` is as likely as `x`: a linear model of
    the whole sequence learns nothing. Every task has examples of its own.

    Source: a stand-in for the two groups of tasks on functional MRI, the more and the less
    related one, of Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, in the
    number of tasks, classes, steps and values. The formula is this package's.

    Args:
        relatedness: An array `(segments, tasks, tasks)` of values in [0, 1], for segments of
            equal length, or one of two settings of 3 tasks in 4 segments. `"more"`: 1 for all
            tasks in the middle half, for tasks 1 and 2 in the first quarter and for tasks 1 and
            3 in the last, else 0.8. `"less"`: 1 for tasks 1 and 2 in the first quarter and for
            tasks 1 and 3 in the last, else 0. Defaults to `"more"`.
        kind: `"classes"`: one label for the sequence, the same c in all segments. `"tagging"`:
            a new c in each segment, the label of all its steps, so that the outputs of each
            step are judged by what is related there. Defaults to `"classes"`.
        switch: What says which segment a step is of. `"position"`: the number of the step.
            `"content"`: every training sequence has the segments in an order of its own, and
            `num_segments` more columns of `x` are 1 for the segment and else 0; test sequences
            have them in order, so that what is found at a step can be held against the
            relatedness there. Defaults to `"position"`.
        num_train: Number of training examples of each task. Defaults to 500.
        num_test: Number of test examples of each task. Defaults to 500.
        num_steps: Number of time steps, at least one a segment. Defaults to 28.
        input_dim: Number of values at a step, even, at least two a task. Defaults to 10.
        num_classes: Number of classes. Defaults to 3.
        signal: How much of a step follows from the step before, in [0, 1]. Defaults to 0.5.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, relatedness)`: a dict of tasks named `task_1`, `task_2`, ...; two
        dicts, name -> `(x, y)`; the relatedness at each time step, an array
        `(num_steps, tasks, tasks)`.

    Raises:
        ValueError: An unknown word, relatedness that no planes can have, or sizes that do not
            fit it.

    Example:

    >>> tasks, train, test, relatedness = synthetic_sequences("less", num_train=200)
    >>> list(tasks)
    ['task_1', 'task_2', 'task_3']
    >>> x, y = train["task_1"]
    >>> x.shape, y.shape, relatedness.shape
    ((200, 28, 10), (200,), (28, 3, 3))
    >>> relatedness[0]  # tasks 1 and 2 begin related
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    >>> batches = keras_mtl.task_batches(tasks, train, batch_size=32, seed=0)
    """
    checks.word("kind", kind, ("classes", "tagging"))
    checks.word("switch", switch, ("position", "content"))
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.seed("seed", seed)
    matrices = _as_matrices(relatedness)
    num_segments, num_tasks, _ = matrices.shape
    checks.count("num_steps", num_steps, least=num_segments)
    checks.count("num_classes", num_classes, least=2)
    checks.count("input_dim", input_dim, least=2 * num_tasks)
    if input_dim % 2:
        raise ValueError(f"input_dim must be even, it is cut in planes. Received: {input_dim}")
    if not 0 <= signal <= 1:
        raise ValueError(f"signal must be in [0, 1]. Received: {signal}")
    segments = np.arange(num_steps) * num_segments // num_steps
    planes = _planes(matrices, input_dim, np.random.default_rng((seed, 0)))

    def draw(part, num_examples):
        return {
            f"task_{task + 1}": _draw(
                planes[:, task],
                orders(part, task, num_examples)[:, segments],
                num_classes,
                signal,
                one_label=kind == "classes",
                marked=switch == "content",
                rng=np.random.default_rng((seed, part, task)),
            )
            for task in range(num_tasks)
        }

    def orders(part, task, num_examples):
        in_order = np.tile(np.arange(num_segments), (num_examples, 1))
        if switch == "position" or part == TEST:
            return in_order
        return np.random.default_rng((seed, part, task, 0)).permuted(in_order, axis=1)

    train, test = draw(TRAIN, num_train), draw(TEST, num_test)
    return dict.fromkeys(train, Task(kind, num_classes)), train, test, matrices[segments]


def _as_matrices(relatedness: Any) -> Any:
    if isinstance(relatedness, str):
        checks.word("relatedness", relatedness, tuple(PRESETS))
        return np.array([[[1, a, b], [a, 1, c], [b, c, 1]] for a, b, c in PRESETS[relatedness]])
    matrices = np.array(relatedness, "float64")
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or not matrices.size:
        raise ValueError(
            "relatedness must be one of "
            f"{', '.join(map(repr, PRESETS))} or an array of shape (segments, tasks, tasks). "
            f"Received an array of shape {matrices.shape}"
        )
    for segment, matrix in enumerate(matrices):
        valid = (matrix >= 0).all() and (matrix <= 1).all() and (np.diag(matrix) == 1).all()
        if not valid or (matrix != matrix.T).any():
            raise ValueError(
                "relatedness must be symmetric in each segment, with values in [0, 1] and ones "
                f"on the diagonal. Received in segment {segment}: {matrix.tolist()}"
            )
        if np.linalg.eigvalsh(matrix)[0] < -1e-6:
            raise ValueError(
                "Tasks that are closely related to one task are related to each other too, so "
                "the relatedness of a segment cannot have a negative eigenvalue. "
                f"Received in segment {segment}: {matrix.tolist()}"
            )
    return matrices


def _planes(matrices: Any, input_dim: Any, rng: np.random.Generator) -> Any:
    """Returns an orthonormal basis of planes for each segment and task, its own plane first.

    A plane is a column of complex numbers: the real parts are one axis, the imaginary parts
    the other. Shape `(segments, tasks, input_dim, input_dim / 2)`.
    """
    num_planes = input_dim // 2
    planes = []
    for matrix in matrices:
        axes, _ = np.linalg.qr(rng.standard_normal((input_dim, input_dim)))
        pool = axes[:, :num_planes] + 1j * axes[:, num_planes:]
        values, vectors = np.linalg.eigh(matrix)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        own = np.pad(root, ((0, 0), (0, num_planes - len(root))))  # one row a task
        # QR completes a row to a basis that begins with it or its negative, which turn alike.
        mixes = [np.linalg.qr(row[:, None], mode="complete")[0] for row in own]
        planes.append([pool @ mix for mix in mixes])
    return np.array(planes)


def _draw(
    planes: Any,
    segments: Any,
    num_classes: Any,
    signal: Any,
    one_label: Any,
    marked: bool,
    rng: np.random.Generator,
) -> tuple[Any, Any]:
    """Returns sequences and labels; `segments` are those of each example's steps."""
    num_examples, num_steps = segments.shape
    num_segments, input_dim, num_planes = planes.shape
    turns = rng.integers(num_classes, size=(num_examples, num_segments, num_planes))
    if one_label:
        turns[:, :, 0] = turns[:, :1, 0]
    factors = signal * np.exp(2j * np.pi * turns / num_classes)
    rows = np.arange(num_examples)
    x = rng.standard_normal((num_steps, num_examples, input_dim))  # the noise, at first
    for step in range(1, num_steps):
        bases = planes[segments[:, step]]
        turned = np.einsum("ni,nip->np", x[step - 1], bases) * factors[rows, segments[:, step]]
        turned = np.einsum("np,nip->ni", turned, bases.conj()).real
        x[step] = turned + np.sqrt(1 - signal**2) * x[step]
    x = x.swapaxes(0, 1)
    if marked:
        x = np.concatenate([x, np.eye(num_segments)[segments]], axis=-1)
    labels = turns[:, 0, 0] if one_label else turns[rows[:, None], segments, 0]
    return x.astype("float32"), labels.astype("int32")
