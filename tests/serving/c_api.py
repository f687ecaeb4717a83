"""Runs a SavedModel through the C API of TensorFlow, as servers do, without its Python.

Usage: python c_api.py EXPORT INPUT:INDEX OUTPUT:INDEX X.npy Y.npy (float32 arrays)
"""

import ctypes as c
import importlib.util
import sys
from pathlib import Path

import numpy as np

FLOAT = 1  # TF_DataType


class Output(c.Structure):
    """TF_Output: an operation of the graph and which of its outputs."""

    _fields_ = [("operation", c.c_void_p), ("index", c.c_int)]


def libraries():
    """Returns the two libraries of the wheel, with the signatures that matter."""
    (folder,) = importlib.util.find_spec("tensorflow").submodule_search_locations
    base = c.CDLL(str(Path(folder) / "libtensorflow_framework.so.2"), c.RTLD_GLOBAL)
    tf = c.CDLL(str(Path(folder) / "libtensorflow_cc.so.2"), c.RTLD_GLOBAL)
    for library, names in (
        (base, ["TF_NewStatus", "TF_AllocateTensor", "TF_TensorData"]),
        (tf, ["TF_NewSessionOptions", "TF_NewGraph", "TF_LoadSessionFromSavedModel"]),
        (tf, ["TF_GraphOperationByName"]),
    ):
        for name in names:
            getattr(library, name).restype = c.c_void_p
    base.TF_Message.restype = c.c_char_p
    base.TF_Dim.restype = c.c_int64
    return base, tf


def run(export, input_name, output_name, x):
    base, tf = libraries()
    status, graph = c.c_void_p(base.TF_NewStatus()), c.c_void_p(tf.TF_NewGraph())

    def check():
        if base.TF_GetCode(status):
            raise RuntimeError(base.TF_Message(status).decode())

    def place(name):
        operation, index = name.split(":")
        found = tf.TF_GraphOperationByName(graph, operation.encode())
        return Output(found, int(index))

    options, tags = c.c_void_p(tf.TF_NewSessionOptions()), (c.c_char_p * 1)(b"serve")
    session = c.c_void_p(
        tf.TF_LoadSessionFromSavedModel(
            options, None, export.encode(), tags, 1, graph, None, status
        )
    )
    check()
    shape = (c.c_int64 * x.ndim)(*x.shape)
    fed = c.c_void_p(base.TF_AllocateTensor(FLOAT, shape, x.ndim, c.c_size_t(x.nbytes)))
    c.memmove(base.TF_TensorData(fed), x.ctypes.data, x.nbytes)
    inputs, outputs = (Output * 1)(place(input_name)), (Output * 1)(place(output_name))
    feeds, fetched = (c.c_void_p * 1)(fed.value), (c.c_void_p * 1)()
    tf.TF_SessionRun(
        session, None, inputs, feeds, 1, outputs, fetched, 1, None, 0, None, status
    )  # fmt: skip
    check()
    answer = c.c_void_p(fetched[0])
    dims = [base.TF_Dim(answer, axis) for axis in range(base.TF_NumDims(answer))]
    size = int(np.prod(dims)) * x.itemsize
    return np.frombuffer(c.string_at(base.TF_TensorData(answer), size), "float32").reshape(dims)


if __name__ == "__main__":
    np.save(sys.argv[5], run(*sys.argv[1:4], np.load(sys.argv[4])))
    if "tensorflow" in sys.modules:
        raise SystemExit("Python's TensorFlow was imported")
