"""Freezes, exports and serves trained networks."""

from keras_mtl.serving.check_freeze import check_freeze
from keras_mtl.serving.cut_report import CutReport, cut_report
from keras_mtl.serving.export import export
from keras_mtl.serving.freeze import freeze
from keras_mtl.serving.served import ServedModel, load_served
from keras_mtl.serving.streaming import initial_states, streaming

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
