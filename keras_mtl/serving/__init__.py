"""Freezes, exports and serves trained networks."""

from keras_mtl.serving.exports.export import export
from keras_mtl.serving.freezing.check_freeze import check_freeze
from keras_mtl.serving.freezing.cut_report import CutReport, cut_report
from keras_mtl.serving.freezing.freeze import freeze
from keras_mtl.serving.requests.served import ServedModel, load_served
from keras_mtl.serving.streams.streaming import initial_states, streaming

__all__ = [
    "CutReport",
    "ServedModel",
    "check_freeze",
    "cut_report",
    "export",
    "freeze",
    "initial_states",
    "load_served",
    "streaming",
]
