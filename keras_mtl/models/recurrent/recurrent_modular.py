"""Recurrent modular networks: each task routes itself through shared parts, step by step."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from keras_mtl import checks
from keras_mtl.layers import (
    ConnectionPenalty,
    LayerConcat,
    ModularDecoder,
    PickTask,
    RecurrentModular,
    RecurrentModularCell,
)
from keras_mtl.layers.penalties.connection_penalty import SCOPES
from keras_mtl.layers.recurrent.modular_decoder import DECIDE_BY
from keras_mtl.models.construction import seeded
from keras_mtl.models.recurrent.base_network import extended, lstm_per_task
from keras_mtl.schedules import check_setting
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks, Tensor


def build_recurrent_modular(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    base: Any = None,
    num_cells: int = 3,
    cell_units: int = 50,
    num_sub_encoders: Any = (3, 3),
    units: Any = (32, 32),
    decoder_units: Any = None,
    policy_units: Any = None,
    policy_reads_base: bool | None = None,
    normalize_policies: bool = True,
    decide_by: str = "example",
    tie_layers: bool = False,
    temperature: Setting | None = None,
    open_fraction: float = 0.75,
    decoder_open_fraction: float | None = None,
    sparsity_weight: Setting = 1.0,
    decoder_sparsity_weight: Setting | None = None,
    sparsity_scope: str = "batch",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a recurrent network whose tasks share parts that change over time (MT-RMN).

    A base network, by default an LSTM for each task, is extended by an encoder that all tasks
    share: LSTM cells, and layers of sub-encoders that connect anew at every time step of every
    example. Each task has a decoder that chooses, step by step, which sub-encoders it reads.
    Decisions are binary, drawn in training with a straight-through gradient, the most likely
    ones in inference; a penalty keeps them sparse. Tasks without a label at every step are
    predicted from the last step that is no padding.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021. Differs from the
    paper: see `keras_mtl.layers.SubEncoders` and `ModularDecoder`; the temperature has a
    floor.

    Args:
        inputs: Specification of the input, a `keras.Input` such as
            `keras.Input((None,), dtype="int32")`.
        tasks: Dict, name -> what is predicted; its order is the task index.
        task_data: `"shared"` (one input, a label for each task) or `"separate"` (each example
            belongs to one task). Defaults to `"shared"`.
        stem: List of callables that return a new Keras layer, which base and encoder share.
            What it returns is a sequence `(batch, steps, features)`. Defaults to `()`.
        base: Function with the arguments of a builder that returns the network to extend, such
            as `partial(keras_mtl.build_sluice, layers=[[lstm] * 2])`. It is given tags for
            tasks, keeps the stem as it is and has features at every step. Defaults to `None`,
            an LSTM of `cell_units` for each task.
        num_cells: Number of LSTM cells of the encoder. Defaults to 3.
        cell_units: Units of each. Defaults to 50.
        num_sub_encoders: Number of sub-encoders in each layer above the cells. Defaults to
            `(3, 3)`.
        units: Sizes of the ReLU layers of each sub-encoder. Defaults to `(32, 32)`.
        decoder_units: Sizes of the ReLU layers of each sub-decoder. `None` takes `units`.
            Defaults to `None`.
        policy_units: Sizes of the ReLU layers of each policy network. `None` takes `units`.
            Defaults to `None`.
        policy_reads_base: Whether a task's policy sees the features of its base network too
            (Eq. 6), or only the sub-encoders (Eq. 7). `None`: where the base has features of
            each task's own, as in the paper. Defaults to `None`.
        normalize_policies: Whether what policies see is brought to mean 0 and variance 1 at
            each step. Without, as in the paper, log-odds stay within a fraction of the noise of
            their draws, and every connection is a coin flip. Defaults to `True`.
        decide_by: What tasks decide by: `"example"`, as in the paper, what sub-encoders say at each
            step of each example; or `"step"`, the number of the step alone, alike for all examples,
            best with `temperature=1.0`. Where tasks are related at some times only, routing by step
            follows that better than by example, after enough epochs. Defaults to `"example"`.
        tie_layers: Whether all layers of sub-encoders are the same one (rrn-RMN). Cells of another
            width than sub-encoders go through one projection first. Defaults to `False`.
        temperature: Number above 0, or a schedule. `None` takes `keras_mtl.HalvingSchedule()`,
            100 halved every epoch down to 0.1. Defaults to `None`.
        open_fraction: Share of the encoder's connections that is free of penalty, in (0, 1]; 1 is
            no limit (gamma_1). Defaults to 0.75.
        decoder_open_fraction: That of the decoders' (gamma_2). `None` takes `open_fraction`.
            Defaults to `None`.
        sparsity_weight: Weight of the penalty on the encoder's connections above that share, a
            number or a schedule (lambda_1). Defaults to 1.0.
        decoder_sparsity_weight: That of the decoders' (lambda_2). `None` takes
            `sparsity_weight`. Defaults to `None`.
        sparsity_scope: As `scope` of `keras_mtl.layers.ConnectionPenalty`. With `"step"` decoders
            have been seen to close nearly all connections: look at
            `keras_mtl.analysis.open_connections`. With `"batch"` and separate data each task has
            a limit of its own; with shared data all decoders have one (Eq. 11). Defaults to
            `"batch"`.
        seed: Integer that makes initial weights and draws reproducible, or `None`. Defaults to
            `None`.
        name: Name of the model. Defaults to `None`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `encoder` is the shared
        encoder, `decoder_1`, `decoder_2`, ... those of the tasks. Logs name
        `encoder_sparsity_penalty` and `decoder_sparsity_penalty`.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"region": 3, "state": keras_mtl.Task("tagging", 5)},
    ...     num_cells=2, cell_units=6, num_sub_encoders=(3, 3), units=(5,))
    >>> model.output["region"].shape, model.output["state"].shape
    ((None, 3), (None, None, 5))
    """
    tasks = as_tasks(tasks)
    num_cells = checks.count("num_cells", num_cells)
    cell_units = checks.count("cell_units", cell_units)
    num_sub_encoders = checks.sizes("num_sub_encoders", num_sub_encoders, length=1)
    units = checks.sizes("units", units, length=1)
    policy_units = units if policy_units is None else checks.sizes("policy_units", policy_units)
    if decoder_units is not None:
        checks.sizes("decoder_units", decoder_units, length=1)
    decoder_units = units if decoder_units is None else decoder_units
    if policy_reads_base is not None:
        checks.flag("policy_reads_base", policy_reads_base)
    checks.flag("normalize_policies", normalize_policies)
    checks.word("decide_by", decide_by, DECIDE_BY)
    if policy_reads_base and decide_by == "step":
        raise ValueError(
            'With decide_by="step" policies read the number of the step and nothing else. Leave '
            'policy_reads_base out, or use decide_by="example". Received: policy_reads_base=True'
        )
    checks.flag("tie_layers", tie_layers)
    of_decoders = open_fraction if decoder_open_fraction is None else decoder_open_fraction
    open_fractions = (
        checks.fraction("open_fraction", open_fraction),
        checks.fraction("decoder_open_fraction", of_decoders),
    )
    of_decoders = sparsity_weight if decoder_sparsity_weight is None else decoder_sparsity_weight
    weights = (
        check_setting("sparsity_weight", sparsity_weight),
        check_setting("decoder_sparsity_weight", of_decoders),
    )
    checks.word("sparsity_scope", sparsity_scope, tuple(SCOPES))
    base = partial(lstm_per_task, units=cell_units) if base is None else base
    with seeded(seed):
        network, features, streams = extended(base, inputs, tasks, task_data, stem, seed)
        cell = RecurrentModularCell(
            num_cells, cell_units, num_sub_encoders, units, policy_units, tie_layers, temperature,
            seed, normalize_policies, name="cell",
        )  # fmt: skip
        encoded, decisions = RecurrentModular(cell, name="encoder")(features)
        encoder_penalty, penalty = (
            ConnectionPenalty(
                fraction, weight, sparsity_scope, len(tasks), name=f"{part}_sparsity_penalty"
            )
            for part, fraction, weight in zip(
                ("encoder", "decoder"), open_fractions, weights, strict=True
            )
        )
        encoded = encoder_penalty(encoded, decisions, network.task_id)
        decoders = [
            ModularDecoder(
                num_sub_encoders, decoder_units, policy_units, temperature,
                seed_of(seed, len(num_sub_encoders) + number), normalize_policies,
                decide_by, name=f"decoder_{number}",
            )
            for number in range(1, len(tasks) + 1)
        ]  # fmt: skip
        if policy_reads_base is None:  # a shared state would say nothing of the task
            several = len({id(stream) for stream in streams}) > 1
            policy_reads_base = several and decide_by == "example"
        read = connect(network, encoded, streams, decoders, penalty, policy_reads_base)
        return network.finish(read, name, seed, sequences=True)


def connect(
    network: Any,
    encoded: Any,
    streams: Sequence[Tensor],
    decoders: Any,
    penalty: Any,
    policy_reads_base: Any,
) -> Any:
    """Returns each task's features beside what its decoder reads of the encoder."""
    read, decided = [], []
    for number, (stream, decoder) in enumerate(zip(streams, decoders, strict=True), start=1):
        output, opened = decoder(encoded, stream if policy_reads_base else None)
        read.append(LayerConcat(name=f"read_{number}")([stream, output]))
        decided.append(opened)
    if network.separate:
        decisions = PickTask(name="pick_decisions")(decided, network.task_id)
    elif len(decided) > 1:
        decisions = LayerConcat(name="all_decisions")(decided)
    else:
        (decisions,) = decided
    return penalty(read, decisions, network.task_id)
