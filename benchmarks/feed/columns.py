"""KuaiRand-Pure as columns and labels, split by days, with what past days say of ids."""

import numpy as np
import pandas as pd

IDS = ["user_id", "video_id", "author_id", "music_id"]
COUNTED = ["user_id", "video_id", "author_id", "tag"]
LABELS = ["click", "long_view", "like"]
NEVER_READ = ["visible_status", "upload_dt", "user_active_degree"]
FIRST_OF = {"train": 0, "validation": 20220503, "test": 20220505}
_PRIOR_ROWS = 20  # as many rows of the mean are added to each rate


def load(folder):
    """Returns a frame of all impressions, and the names of columns by kind.

    Args:
        folder: Path of val.parquet, test.parquet and the two tables of users and videos.
    """
    keys = ["user_id", "video_id", "time_ms"]
    parts = [pd.read_parquet(folder / f"{name}.parquet") for name in ("val", "test")]
    log = pd.concat(parts).drop_duplicates(keys).sort_values("time_ms", kind="stable")
    log = log[[*keys, "date", "hourmin", "tab", "freshness_days", "duration_ms", "is_click",
               "long_view", "is_like", "play_time_ms"]]  # fmt: skip
    users = pd.read_csv(folder / "user_features_pure.csv.gz")
    videos = pd.read_csv(folder / "video_features_basic_pure.csv.gz")
    frame = log.merge(users, on="user_id").merge(
        videos.drop(columns=["video_duration", *NEVER_READ[:2]]), on="video_id"
    )
    frame["hour"] = frame["hourmin"] // 100
    frame["tag"] = frame["tag"].fillna("").astype(str).str.split(",").str[0]
    for label, column in {"click": "is_click", "long_view": "long_view", "like": "is_like"}.items():
        frame[label] = frame[column].astype("float32")
    frame["watch"] = np.log1p(frame["play_time_ms"].astype("float64") / 1000)
    frame["log_duration"] = np.log1p(frame["duration_ms"].astype("float64") / 1000)
    counted = [name for key in COUNTED for name in _add_counts(frame, key)]
    features = [name for name in users if name.startswith("onehot_feat")]
    ranges = [name for name in users if name.endswith("_range")]
    numbers = [name for name in users if name.endswith(("user_num", "days"))]
    for name in numbers:
        frame[name] = np.log1p(frame[name].clip(lower=0).astype("float64"))
    categorical = [*IDS, "tab", "hour", "tag", "video_type", "upload_type", "music_type",
                   "is_lowactive_period", "is_live_streamer", "is_video_author",
                   "user_active_degree", *ranges, *features]  # fmt: skip
    numeric = ["log_duration", "freshness_days", "server_width", "server_height", *numbers]
    return frame, {"categorical": categorical, "numeric": [*numeric, *counted]}


def split(frame):
    """Returns the parts of a frame, by days."""
    ends = [*list(FIRST_OF.values())[1:], frame["date"].max() + 1]
    return {
        name: frame[(frame["date"] >= first) & (frame["date"] < end)]
        for (name, first), end in zip(FIRST_OF.items(), ends, strict=True)
    }


def _add_counts(frame, key):
    """Adds how often an id was shown on the other train days, and what came of it."""
    outcomes = [*LABELS, "watch"]
    train = frame[frame["date"] < FIRST_OF["validation"]]
    means = train[outcomes].mean()
    sums = train.groupby(key)[outcomes].sum().assign(rows=train.groupby(key).size())
    by_day = train.groupby([key, "date"])[outcomes].sum()
    by_day["rows"] = train.groupby([key, "date"]).size()
    known = sums.reindex(frame[key]).fillna(0).to_numpy()
    own_day = by_day.reindex(pd.MultiIndex.from_frame(frame[[key, "date"]])).fillna(0).to_numpy()
    rest = known - own_day  # of later days nothing is in it
    names = []
    for index, outcome in enumerate(outcomes):
        names.append(f"{key}_{outcome}_rate")
        total = rest[:, index] + _PRIOR_ROWS * means[outcome]
        frame[names[-1]] = total / (rest[:, -1] + _PRIOR_ROWS)
    names.append(f"{key}_rows")
    frame[names[-1]] = np.log1p(rest[:, -1])
    return names
