"""What Python refuses to do with a network, and in which words."""

import keras

_OWN_TASKS = "Layer '{}' of this one is made for its own tasks only: build a network with all"
_LAYERS = "are predicted from different layers, so add_task cannot know which the new one reads"

REFUSALS = [  # builder, mode, kind, way, and a pattern of the message; "*" is all
    ("build_communicating", "shared", "*", "grown", _LAYERS),
    ("build_communicating", "separate", "*", "grown", _OWN_TASKS.format("pick_task")),
    ("build_cross_stitch", "*", "*", "grown", _OWN_TASKS.format(r"(stitch|mask)_1")),
    ("build_dselect_k", "*", "*", "grown", _OWN_TASKS.format("gates_1")),
    ("build_girnet", "*", "*", "grown", _OWN_TASKS.format("composite")),
    ("build_low_supervision", "shared", "*", "grown", _LAYERS),
    ("build_low_supervision", "separate", "*", "grown", _OWN_TASKS.format("pick_task")),
    ("build_mmoe", "*", "*", "grown", _OWN_TASKS.format("gates_1")),
    ("build_mmoeex", "*", "*", "grown", _OWN_TASKS.format("gates_1")),
    ("build_moe", "*", "*", "grown", _OWN_TASKS.format("gates_1")),
    ("build_ple", "*", "*", "grown", _OWN_TASKS.format("gates_1")),
    ("build_recursive_routing", "*", "*", "grown", _OWN_TASKS.format("routed_lstm")),
    ("build_routing_network", "*", "*", "grown", _OWN_TASKS.format("allocation_1")),
    ("build_shared_private", "shared", "*", "grown", _LAYERS),
    ("build_shared_private", "separate", "*", "grown", _OWN_TASKS.format("adversarial_penalty")),
    ("build_sluice", "*", "*", "grown", _OWN_TASKS.format(r"(stitch|mask)_1")),
    ("build_snr", "*", "*", "grown", _OWN_TASKS.format(r"(routing|mask)_1")),
    ("build_soft_ordering", "*", "*", "grown", _OWN_TASKS.format("allocation_1")),
    ("build_task_routing", "*", "*", "grown", _OWN_TASKS.format("mask_1")),
    ("*", "*", "half precision", "quantized", "doesn't work well with compute_dtype='float16'"),
]
if keras.backend.backend() == "torch":
    REFUSALS.append(("*", "*", "*", "exported", "cannot be written on the torch backend"))


def rows_of(cell):
    """Returns the rows of the table that say something of a cell."""
    return [
        row
        for row in REFUSALS
        if all(said in ("*", there) for said, there in zip(row[:4], cell, strict=True))
    ]
