"""Runs a SavedModel through the C API of TensorFlow, as servers do, without its Python.

Usage: python c_api.py EXPORT X.npz Y.npz OUTPUT:INDEX ... (float32 arrays; those of X.npz are
named INPUT:INDEX, those of Y.npz as the outputs)
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


def run(export, x, output_names):
    """Returns outputs, by name, of a session that is fed the arrays of `x`, by name."""
    base, tf = libraries()
    status, graph = c.c_void_p(base.TF_NewStatus()), c.c_void_p(tf.TF_NewGraph())

    def check():
        if base.TF_GetCode(status):
            raise RuntimeError(base.TF_Message(status).decode())

    def place(name):
        operation, index = name.split(":")
        found = tf.TF_GraphOperationByName(graph, operation.encode())
        return Output(found, int(index))

    def tensor(array):
        shape = (c.c_int64 * array.ndim)(*array.shape)
        made = base.TF_AllocateTensor(FLOAT, shape, array.ndim, c.c_size_t(array.nbytes))
        data = np.ascontiguousarray(array).ctypes.data
        c.memmove(base.TF_TensorData(c.c_void_p(made)), data, array.nbytes)
        return made

    def array(made):
        made = c.c_void_p(made)
        shape = [base.TF_Dim(made, axis) for axis in range(base.TF_NumDims(made))]
        content = c.string_at(base.TF_TensorData(made), 4 * int(np.prod(shape)))
        return np.frombuffer(content, "float32").reshape(shape)

    options, tags = c.c_void_p(tf.TF_NewSessionOptions()), (c.c_char_p * 1)(b"serve")
    session = c.c_void_p(
        tf.TF_LoadSessionFromSavedModel(
            options, None, export.encode(), tags, 1, graph, None, status
        )
    )
    check()
    num_in, num_out = len(x), len(output_names)
    inputs, outputs = (
        (Output * num_in)(*map(place, x)),
        (Output * num_out)(*map(place, output_names)),
    )
    feeds, fetched = (c.c_void_p * num_in)(*map(tensor, x.values())), (c.c_void_p * num_out)()
    tf.TF_SessionRun(
        session, None, inputs, feeds, num_in, outputs, fetched, num_out, None, 0, None, status
    )  # fmt: skip
    check()
    return dict(zip(output_names, map(array, fetched), strict=True))


if __name__ == "__main__":
    np.savez(sys.argv[3], **run(sys.argv[1], dict(np.load(sys.argv[2])), sys.argv[4:]))
    if "tensorflow" in sys.modules:
        raise SystemExit("Python's TensorFlow was imported")
