"""What was trained is what is served: every builder, on all kinds of data, in every form.

The whole table takes long, and goes on where it stopped:

    KERAS_MTL_MATRIX=matrix.jsonl python -m pytest -m slow tests/conformance -k whole_table
"""

import collections
import gc
import json
import os
import re
import tempfile
from pathlib import Path

import keras
import pytest

import keras_mtl
from tests.conformance.cover import pairs_of, pairwise_cover
from tests.conformance.matrix import (
    KINDS,
    NO_SEQUENCE_KINDS,
    SEQUENCE_KINDS,
    Cell,
    all_cells,
    network,
)
from tests.conformance.refusals import REFUSALS, rows_of
from tests.conformance.registry import ALL_BUILDERS, PAIRS
from tests.conformance.ways import off
from tests.public_api import builders

RECORDS = os.environ.get("KERAS_MTL_MATRIX")
COVER = pairwise_cover(all_cells())
pytestmark = [  # what Keras says
    pytest.mark.filterwarnings("ignore:The `native_serialization` parameter"),  # to JAX
    pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method"),
    pytest.mark.filterwarnings("ignore:.*stay as they are"),  # what layers make themselves
    pytest.mark.filterwarnings(r"ignore:[\s\S]*Layer .* does not support masking"),
]


def checked(cell, folder, model=None):
    """Asserts that a cell is equal, or refused as the table says; returns which."""
    refusals = [pattern for *_, pattern in rows_of(cell)]
    try:
        parts = off(cell, folder, model)
    except ValueError as error:
        if not any(re.search(pattern, str(error)) for pattern in refusals):
            raise
        return f"refused: {error}"
    assert not refusals, f"{cell} is no longer refused: {refusals}"
    assert parts <= 1, f"{cell} answers otherwise: by {parts:.3g} times what is allowed"
    return f"equal: {parts:.2g} of what is allowed"


def name_of(cell):
    return "-".join(cell).replace(" ", "_")


# Completeness


def test_every_builder_is_in_the_matrix():
    assert set(ALL_BUILDERS) == set(builders())
    assert {cell.builder for cell in all_cells()} == set(ALL_BUILDERS)


def test_sequence_builders_leave_out_only_what_they_have_a_reason_for():
    assert set(SEQUENCE_KINDS) | set(NO_SEQUENCE_KINDS) == set(KINDS)
    assert not set(SEQUENCE_KINDS) & set(NO_SEQUENCE_KINDS)


def test_every_refusal_is_of_a_cell_that_has_no_other():
    rows = [rows_of(cell) for cell in all_cells()]
    assert {tuple(row) for found in rows for row in found} == set(REFUSALS)
    assert max(map(len, rows)) == 1


def test_the_cover_holds_every_pair():
    pairs = set().union(*map(pairs_of, all_cells()))
    assert set().union(*map(pairs_of, COVER)) == pairs
    assert ((0, "build_mmoe"), (3, "quantized")) in pairs
    assert ((1, "shared"), (2, "image")) in pairs
    assert len(COVER) < len(all_cells()) / 5


def test_other_answers_are_seen(monkeypatch, tmp_path):
    cell = Cell("build_shared_bottom", "shared", "plain", "frozen")
    model = network(*cell[:3])
    frozen = keras_mtl.freeze(model)
    (bias,) = frozen.get_layer("color").weights[1:]
    bias.assign_add([0.0, 1e-5])
    monkeypatch.setattr(keras_mtl, "freeze", lambda _: frozen)
    with pytest.raises(AssertionError, match="answers otherwise: by .* times what is allowed"):
        checked(cell, tmp_path, model)


def test_a_refusal_that_stopped_is_seen(monkeypatch, tmp_path):
    cell = Cell("build_shared_bottom", "shared", "plain", "grown")
    monkeypatch.setattr("tests.conformance.refusals.REFUSALS", [(*cell, "made for its own tasks")])
    with pytest.raises(AssertionError, match="is no longer refused"):
        checked(cell, tmp_path)


def test_a_refusal_that_the_table_does_not_say_is_seen(monkeypatch, tmp_path):
    cell = Cell("build_mmoe", "shared", "plain", "grown")
    monkeypatch.setattr("tests.conformance.refusals.REFUSALS", [(*cell, "some other words")])
    with pytest.raises(ValueError, match="made for its own tasks only"):
        checked(cell, tmp_path)


# Cells


@pytest.mark.parametrize(("builder", "mode"), PAIRS)
def test_a_plain_network_is_reloaded_frozen_and_calibrated(builder, mode, tmp_path):
    model = network(builder, mode, "plain")
    for way in ("reloaded", "frozen", "calibrated"):
        checked(Cell(builder, mode, "plain", way), tmp_path, model)


@pytest.mark.parametrize("builder", ALL_BUILDERS)
def test_a_funnel_is_reloaded_frozen_and_calibrated(builder, tmp_path):
    model = network(builder, "shared", "funnel")
    for way in ("reloaded", "frozen", "calibrated"):
        checked(Cell(builder, "shared", "funnel", way), tmp_path, model)


def test_a_plain_network_is_exported(tmp_path):
    checked(Cell("build_mmoe", "shared", "plain", "exported"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("cell", COVER, ids=name_of)
def test_every_pair_of_columns(cell, tmp_path):
    checked(cell, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not RECORDS, reason="KERAS_MTL_MATRIX names no file for what was found")
def test_the_whole_table(capsys):
    records = Path(RECORDS)
    found = _recorded(records)
    for cell in dict.fromkeys([*COVER, *all_cells()]):
        if found.get(cell, "failed").startswith("failed"):  # what failed is tried again
            found[cell] = _outcome(cell)
            with records.open("a") as file:
                file.write(json.dumps({**cell._asdict(), "outcome": found[cell]}) + "\n")
    counts = collections.Counter(outcome.split(":")[0] for outcome in found.values())
    with capsys.disabled():
        print(f"\n{len(found)} cells: {dict(counts)}")
    assert set(found) == set(all_cells())
    assert counts["equal"] + counts["refused"] == len(found)


def _recorded(records):
    lines = records.read_text().splitlines() if records.exists() else []
    found = [json.loads(line) for line in lines]
    return {Cell(*(record[key] for key in Cell._fields)): record["outcome"] for record in found}


def _outcome(cell):
    keras.utils.set_random_seed(0)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return checked(cell, Path(folder))
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"
    finally:
        keras.backend.clear_session()
        gc.collect()
