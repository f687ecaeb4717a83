"""A made feed of videos: impressions in columns, with clicks, long views and likes."""

from typing import Any

import numpy as np

from keras_mtl import checks

_NUM_TASTES = 8  # of a user, topics of a video
_TABS = {"home": 0.8, "search": 0.3, "profile": -0.6}  # what the place on the screen does to clicks
_NEW_EACH_DAY = 0.05  # of the users and videos that there are
_MISSING = 0.03  # of the durations


def synthetic_feed(
    num_rows: int = 20_000,
    *,
    day: int = 0,
    num_users: int = 500,
    num_videos: int = 300,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """Impressions of one day, as a log has them, and the chances behind them.

    Users have tastes, videos topics; both are few, so that a network learns them from ids that it
    has seen, and tags tell topics of videos that it has not. Home shows more clicks than search
    and profile at equal taste. After a click a short video is more often viewed for long, and a
    like needs both: more taste than a click does. Each day brings new users and videos, whose
    ids are larger.

    Args:
        num_rows: Number of impressions. Defaults to 20,000.
        day: Of the log, from 0. Defaults to 0.
        num_users: Number of users on day 0. Defaults to 500.
        num_videos: Number of videos on day 0. Defaults to 300.
        seed: Integer, at least 0: of users and videos, the same for all days, and of the
            impressions of a day. Defaults to 0.

    Returns:
        `(columns, labels, chances)`: a dict of columns, `user_id`, `video_id` and `tab` of
        strings, `hour` of integers, `duration` of seconds, NaN where it is not known, `tags` of
        lists; a dict of labels, `click`, `long_view` and `like`, float32 of 0 and 1, the latter
        two 0 without a click; a dict of the chances that they were drawn by.

    Raises:
        ValueError: A number below 1, a day or seed below 0.

    Example:

    >>> columns, labels, chances = synthetic_feed(5)
    >>> list(columns), list(labels)
    (['user_id', 'video_id', 'tab', 'hour', 'duration', 'tags'], ['click', 'long_view', 'like'])
    >>> bool((labels["like"] <= labels["click"]).all())
    True
    """
    num_rows = checks.count("num_rows", num_rows)
    day = checks.count("day", day, least=0)
    seed = checks.count("seed", seed, least=0)
    growth = 1 + _NEW_EACH_DAY * day
    tastes = _vectors(seed, 0, round(checks.count("num_users", num_users) * growth))
    topics = _vectors(seed, 1, round(checks.count("num_videos", num_videos) * growth))
    lengths = np.random.default_rng((seed, 2)).lognormal(3, 0.8, len(topics))
    rng = np.random.default_rng((seed, 3, day))
    user = rng.integers(len(tastes), size=num_rows)
    video = (len(topics) * rng.beta(1, 2, num_rows)).astype(int)  # some are shown more than others
    tab = rng.choice(list(_TABS), num_rows, p=[0.6, 0.3, 0.1])
    match = np.sum(tastes[user] * topics[video], axis=1)
    click = _sigmoid(match + np.vectorize(_TABS.get)(tab) - 1)
    long_view = click * _sigmoid(match - np.log(lengths[video]) + 3)
    like = click * _sigmoid(1.5 * match - 3)
    drawn = rng.random((3, num_rows))
    clicked = drawn[0] < click
    labels = {
        "click": clicked,
        "long_view": clicked & (drawn[1] < long_view / click),
        "like": clicked & (drawn[2] < like / click),
    }
    duration = np.where(rng.random(num_rows) < _MISSING, np.nan, lengths[video].round(1))
    columns = {
        "user_id": [f"u{number}" for number in user],
        "video_id": [f"v{number}" for number in video],
        "tab": tab.tolist(),
        "hour": rng.integers(24, size=num_rows),
        "duration": duration,
        "tags": [_tags(topics[number]) for number in video],
    }
    labels = {task: label.astype("float32") for task, label in labels.items()}
    return columns, labels, {"click": click, "long_view": long_view, "like": like}


def _vectors(seed: int, part: int, number: int) -> Any:
    """Returns vectors of users or videos, of which a later day has more, and the same at first."""
    rng = np.random.default_rng((seed, part))
    return 0.6 * rng.standard_normal((number, _NUM_TASTES))  # products of two deviate by about 1


def _tags(topics: Any) -> list[str]:
    """Returns the topics of which a video has much, at most three."""
    strongest = np.argsort(-np.abs(topics))[:3]
    return [
        f"topic {index}{'' if topics[index] > 0 else ' against'}"
        for index in strongest
        if abs(topics[index]) > 0.6
    ]


def _sigmoid(scores: Any) -> Any:
    return 1 / (1 + np.exp(-scores))
