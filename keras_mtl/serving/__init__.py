"""Freezes, exports and serves trained networks."""

from keras_mtl.serving.exports.export import export as export
from keras_mtl.serving.freezing.check_freeze import check_freeze as check_freeze
from keras_mtl.serving.freezing.cut_report import CutReport as CutReport
from keras_mtl.serving.freezing.cut_report import cut_report as cut_report
from keras_mtl.serving.freezing.freeze import freeze as freeze
from keras_mtl.serving.requests.served import ServedModel as ServedModel
from keras_mtl.serving.requests.served import load_served as load_served
from keras_mtl.serving.streams.streaming import initial_states as initial_states
from keras_mtl.serving.streams.streaming import streaming as streaming
