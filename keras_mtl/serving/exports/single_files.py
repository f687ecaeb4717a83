"""Writes a frozen network as one file per task: ONNX and LiteRT."""

import importlib.util
import warnings
from typing import Any

import keras

from keras_mtl.serving.networks import input_signature, task_networks


def write_onnx(frozen: keras.Model, tasks: Any, folder: Any) -> None:
    """Writes `<task>.onnx`, whose inputs are the model's and whose output is the task."""
    for task, network in task_networks(frozen, tasks).items():
        file = folder / f"{task}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the exporters trace, not of the network
            network.export(
                str(file), format="onnx", verbose=False, input_signature=input_signature(network)
            )
        _name_output(file, task)


def _name_output(file: Any, name: str) -> None:
    """Names the only output of an ONNX file; the exporter of torch numbers it instead."""
    import onnx

    model = onnx.load(file)
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = [name if made == output.name else made for made in node.output]
        node.input[:] = [name if taken == output.name else taken for taken in node.input]
    output.name = name
    onnx.save(model, file)


def write_litert(frozen: keras.Model, tasks: Any, folder: Any) -> None:
    """Writes `<task>.tflite`, whose signature takes the model's inputs and gives the task."""
    for task, network in task_networks(frozen, tasks).items():
        network.export(
            str(folder / f"{task}.tflite"),
            format="litert",
            verbose=False,
            input_signature=input_signature(network),
        )


def onnx_answers(folder: Any) -> Any:
    """Returns a function of a task and examples that asks ONNX files; `None` without runtime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    def answer(task, x):
        session = onnxruntime.InferenceSession(folder / f"{task}.onnx")
        return session.run([task], _named(x, [node.name for node in session.get_inputs()]))[0]

    return answer


def litert_answers(folder: Any) -> Any:
    """Returns a function of a task and examples that asks LiteRT files; `None` without runtime."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return None
    from ai_edge_litert.interpreter import Interpreter

    def answer(task, x):
        runner = Interpreter(str(folder / f"{task}.tflite")).get_signature_runner()
        return runner(**_named(x, list(runner.get_input_details())))[task]

    return answer


def _named(x: Any, names: Any) -> Any:
    """Returns the inputs of a file by name; a task may need only some of a dict."""
    return {name: x[name] for name in names} if isinstance(x, dict) else {names[0]: x}
