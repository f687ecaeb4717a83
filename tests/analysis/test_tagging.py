import dataclasses
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import TaggingRecorder, tagging_scores

BIO = ["O", "B-NP", "I-NP", "B-VP", "I-VP"]
POS = ["noun", "verb", "other"]
OUT, B_NP, I_NP, B_VP, I_VP = range(5)


def span_f1(y_true, y_pred):
    return tagging_scores([y_true], [y_pred], BIO).span_f1


# Numbers


def test_two_spans_of_three_found():
    scores = tagging_scores([[B_NP, I_NP, OUT, B_VP, B_NP]], [[B_NP, I_NP, OUT, B_VP, OUT]], BIO)
    assert scores.accuracy == pytest.approx(4 / 5)
    assert scores.span_f1 == pytest.approx(0.8)  # precision 1, recall 2/3
    # O 2/3 (2 predicted, 1 right), B-NP 2/3 (1 of 2 found), I-NP 1, B-VP 1; I-VP does not occur
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1 + 1) / 4)


def test_a_wrong_border_is_one_span_too_many_and_one_missed():
    # B-VP is right: precision 1/2, recall 1/2
    assert span_f1([B_NP, I_NP, OUT, B_VP], [B_NP, I_NP, I_NP, B_VP]) == pytest.approx(0.5)


def test_a_wrong_type_is_a_wrong_span():
    assert span_f1([B_NP, I_NP, OUT], [B_VP, I_VP, OUT]) == 0.0


def test_an_inside_tag_without_a_begin_tag_begins_a_span():
    assert span_f1([OUT, B_NP, I_NP], [OUT, I_NP, I_NP]) == 1.0
    assert span_f1([B_NP, B_VP, I_VP], [B_NP, I_VP, I_VP]) == 1.0  # behind another type too


def test_a_begin_tag_begins_a_span_inside_one():
    assert span_f1([B_NP, I_NP], [B_NP, B_NP]) == 0.0
    assert span_f1([B_NP, B_NP], [B_NP, B_NP]) == 1.0


def test_spans_end_with_their_sentence():
    # two spans, one found: precision 1, recall 1/2
    scores = tagging_scores([[OUT, B_NP], [I_NP, OUT]], [[OUT, B_NP], [OUT, OUT]], BIO)
    assert scores.span_f1 == pytest.approx(2 / 3)


def test_without_any_span_f1_is_zero():
    assert span_f1([OUT, OUT], [OUT, OUT]) == 0.0


def test_macro_f1_counts_tags_that_are_only_predicted():
    scores = tagging_scores([[0, 0, 0]], [[0, 0, 2]], POS)
    assert scores.macro_f1 == pytest.approx((0.8 + 0.0) / 2)


def test_tags_that_are_not_bio_have_no_span_f1():
    assert tagging_scores([[0, 1]], [[0, 1]], POS).span_f1 is None
    assert tagging_scores([[0, 1]], [[0, 1]], ["O", "B-NP", "S-NP"]).span_f1 is None


def test_predictions_at_unlabelled_steps_do_not_count():
    scores = tagging_scores([[B_NP, I_NP, -1, -1]], [[B_NP, I_NP, I_NP, B_VP]], BIO)
    assert dataclasses.astuple(scores) == (1.0, 1.0, 1.0)
    nothing_there = np.array([[B_NP, I_NP, np.nan]]), [[B_NP, I_NP, -1]]
    assert dataclasses.astuple(tagging_scores(*nothing_there, BIO)) == (1.0, 1.0, 1.0)


def test_a_span_goes_on_behind_an_unlabelled_step():
    # one span in the labels, two in the predictions, none of them right
    assert span_f1([B_NP, -1, I_NP], [B_NP, OUT, B_NP]) == 0.0
    assert span_f1([B_NP, -1, I_NP], [B_NP, OUT, I_NP]) == 1.0


def test_probabilities_are_scored_as_their_likeliest_tag():
    y_true, y_pred = np.array([[0, 1, 2, -1], [2, 2, 1, 0]]), np.array([[0, 1, 1, 0], [2, 0, 1, 0]])
    probabilities = np.eye(3)[y_pred] * 0.5 + 0.25
    assert tagging_scores(y_true, probabilities, POS) == tagging_scores(y_true, y_pred, POS)


def test_sentences_may_differ_in_length():
    padded = tagging_scores(
        [[B_NP, I_NP, OUT], [B_VP, -1, -1]], [[B_NP, OUT, OUT], [B_VP, OUT, OUT]], BIO
    )
    listed = tagging_scores(
        [np.array([B_NP, I_NP, OUT]), np.array([B_VP])],
        [np.eye(5)[[B_NP, OUT, OUT]], np.eye(5)[[B_VP]]],
        BIO,
    )
    assert listed == padded


# Errors


@pytest.mark.parametrize(
    "y_true, y_pred, message",
    [
        ([[0, 1]], [[0, 1], [1, 1]], "y_true has 1 sentences, y_pred has 2"),
        ([[0, 1], [0, 1]], [[0, 1], [0]], r"Sentence 1 must .* Received: \(2,\) and \(1,\)"),
        (np.zeros((2, 4, 3)), np.zeros((2, 4, 3)), r"Received: \(4, 3\) and \(4, 3\). Join"),
        ([[0, 1]], np.ones((1, 2, 5)), "probabilities of 5 tags, tag_names has 3 names"),
        ([[0, 3]], [[0, 1]], "Sentence 0 of y_true has a tag without a name: 3"),
        ([[0, -2]], [[0, 1]], "Sentence 0 of y_true has a tag without a name: -2"),
        ([[0, 1]], [[0, -1]], "Sentence 0 of y_pred has a tag without a name: -1"),
        ([[0, 1]], np.full((1, 2, 3), np.nan), "Sentence 0 of y_pred holds NaN"),
        ([[-1, -1]], [[0, 1]], "Nothing is labelled"),
        ([], [], "Nothing is labelled"),
    ],
)
def test_what_cannot_be_scored_is_refused(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        tagging_scores(y_true, y_pred, POS)


@pytest.mark.parametrize("package", ["sklearn", "seqscore"])
def test_without_its_packages_the_extra_is_named(monkeypatch, package):
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install \"keras_mtl\[tagging\]\""):
        TaggingRecorder((), {})


# In fit

TASKS = {"chunk": keras_mtl.Task("tagging", 5), "pos": keras_mtl.Task("tagging", 3)}
NAMES = {"chunk": BIO, "pos": POS}


def sentences(count, steps, seed):
    """Words 1 to 7, 0 = padding; a word's tags follow from the word alone."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 8, (count, steps))
    x[0, steps - 2 :] = 0
    return x, {"chunk": np.where(x, x % 5, -1), "pos": np.where(x, x % 3, -1)}


class Batches(keras.utils.PyDataset):
    """Two batches of different widths."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return sentences((6, 3)[index], (4, 7)[index], seed=index)


def model_of(task_data="shared"):
    model = keras_mtl.build_shared_bottom(
        keras.Input((None,), dtype="int32"),
        TASKS,
        [partial(keras.layers.Dense, 8, activation="relu")],
        stem=[partial(keras.layers.Embedding, 8, 6, mask_zero=True)],
        task_data=task_data,
    )
    model.compile(keras.optimizers.Adam(0.1))
    return model


@pytest.mark.slow
def test_recorded_scores_are_those_of_the_network_after_the_epoch():
    x, y = sentences(8, 6, seed=0)
    model = model_of()
    logs = model.fit(x, y, epochs=2, callbacks=[TaggingRecorder((x, y), NAMES)], verbose=0).history
    predictions = model.predict(x, verbose=0)
    chunk = tagging_scores(y["chunk"], predictions["chunk"], BIO)
    pos = tagging_scores(y["pos"], predictions["pos"], POS)
    assert logs["val_chunk_span_f1"][1] == chunk.span_f1
    assert logs["val_chunk_macro_f1"][1] == chunk.macro_f1
    assert logs["val_pos_macro_f1"][1] == pos.macro_f1
    assert logs["chunk_accuracy"][0] < 1 and "val_pos_span_f1" not in logs


@pytest.mark.slow
def test_early_stopping_follows_the_span_f1_of_batches_of_any_width():
    model = model_of()
    stop = keras.callbacks.EarlyStopping(
        "val_chunk_span_f1", mode="max", patience=2, restore_best_weights=True
    )
    recorder = TaggingRecorder(Batches(), NAMES)
    logs = model.fit(Batches(), epochs=60, callbacks=[recorder, stop], verbose=0).history
    scores = logs["val_chunk_span_f1"]
    assert max(scores) > scores[0]  # learned, not given
    assert len(scores) == np.argmax(scores) + 3 < 60  # the best, then two without a gain
    y_true, y_pred = [], []
    for x, y in (Batches()[0], Batches()[1]):
        y_true.extend(y["chunk"])
        y_pred.extend(model.predict(x, verbose=0)["chunk"])
    assert tagging_scores(y_true, y_pred, BIO).span_f1 == max(scores)


@pytest.mark.slow
def test_tasks_with_separate_data_are_scored_on_their_own_sentences():
    data = {}
    for seed, name in enumerate(TASKS):
        x, y = sentences(5 + seed, 6, seed)
        data[name] = (x, y[name])
    batches = keras_mtl.task_batches(TASKS, data, 4, order="sequential")
    model = model_of("separate")
    logs = model.fit(batches, callbacks=[TaggingRecorder(batches, NAMES)], verbose=0).history
    for task_id, (name, (x, y)) in enumerate(data.items()):
        inputs = {"inputs": x, "task_id": np.full(len(x), task_id)}
        probabilities = model.predict(inputs, verbose=0)[..., : TASKS[name].size]
        expected = tagging_scores(y, probabilities, NAMES[name])
        assert logs[f"val_{name}_macro_f1"] == [expected.macro_f1]


def test_recorder_refuses_names_of_other_tasks_and_of_other_numbers_of_tags():
    data = sentences(4, 5, seed=0)
    for names, message in [
        ({"ner": BIO}, "'ner', which is no tagging task .* Tagging tasks: chunk, pos"),
        ({"pos": BIO}, "Task 'pos' has 3 tags, tag_names has 5 names"),
    ]:
        with pytest.raises(ValueError, match=message):
            model_of().fit(*data, callbacks=[TaggingRecorder(data, names)], verbose=0)


def test_recorder_refuses_data_and_names_of_another_form():
    x, y = sentences(4, 5, seed=0)
    with pytest.raises(ValueError, match=r"must be a tuple \(x, y\) .* Received: ndarray"):
        TaggingRecorder(x, NAMES)
    with pytest.raises(ValueError, match="tag_names must be a dict, .* Received: list"):
        TaggingRecorder((x, y), BIO)
    with pytest.raises(ValueError, match="y must be a dict with an array for every task"):
        model_of().fit(x, y, callbacks=[TaggingRecorder((x, y["pos"]), NAMES)], verbose=0)


@pytest.mark.slow
def test_recorder_names_the_task_without_labels():
    x, y = sentences(4, 5, seed=0)
    unlabelled = {**y, "pos": np.full_like(x, -1)}
    with pytest.raises(ValueError, match="Validation data of task 'pos': Nothing is labelled"):
        model_of().fit(x, y, callbacks=[TaggingRecorder((x, unlabelled), NAMES)], verbose=0)
