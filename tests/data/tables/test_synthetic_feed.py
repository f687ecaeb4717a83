"""A made feed: what was planted is there."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_mtl.data import TableEncoder, synthetic_feed


def test_labels_follow_their_chances():
    _, labels, chances = synthetic_feed(40_000)
    for task, label in labels.items():
        assert set(np.unique(label)) == {0, 1} and label.dtype == "float32"
        assert abs(label.mean() - chances[task].mean()) < 4 * 0.5 / 200  # of its own deviation
        assert 0.7 < roc_auc_score(label, chances[task]) < 0.95


def test_nobody_views_or_likes_without_a_click():
    _, labels, chances = synthetic_feed(5_000)
    for task in ("long_view", "like"):
        assert (labels[task] <= labels["click"]).all()
        assert (chances[task] < chances["click"]).all()


def test_home_is_clicked_more_than_profile_at_equal_taste():
    columns, labels, _ = synthetic_feed(40_000)
    tab = np.array(columns["tab"])
    rates = {name: labels["click"][tab == name].mean() for name in ("home", "search", "profile")}
    assert rates["home"] > rates["search"] + 0.05 > rates["profile"] + 0.1


def test_short_videos_are_viewed_for_long_after_a_click():
    columns, labels, _ = synthetic_feed(40_000)
    clicked = labels["click"] == 1
    short = columns["duration"][clicked] < np.nanmedian(columns["duration"])
    views = labels["long_view"][clicked]
    assert views[short].mean() > views[~short].mean() + 0.1


def test_the_next_day_has_the_same_videos_and_new_ones():
    first, again, second = (synthetic_feed(20_000, day=day)[0] for day in (0, 0, 1))
    assert first["video_id"] == again["video_id"] != second["video_id"]
    known, later = set(first["video_id"]), set(second["video_id"])
    assert 0 < len(later - known) < 0.1 * len(known)
    lengths = [dict(zip(day["video_id"], day["duration"], strict=True)) for day in (first, second)]
    shared = [name for name in known & later if not np.isnan([of[name] for of in lengths]).any()]
    assert all(lengths[0][name] == lengths[1][name] for name in shared)


def test_an_encoder_reads_it():
    columns, _, _ = synthetic_feed(300)
    table = TableEncoder(["user_id", "video_id", "tab", "hour"], ["duration"], ["tags"])
    table.adapt(columns)
    assert table.encode(columns)["tags"].shape[0] == 300


@pytest.mark.parametrize("settings", [{"num_rows": 0}, {"day": -1}, {"seed": -1}, {"num_users": 0}])
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        synthetic_feed(**settings)
