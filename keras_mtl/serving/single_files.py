"""Writes a frozen network as one file per task: ONNX and LiteRT."""

import warnings

from keras_mtl.serving.networks import input_signature, task_networks


def write_onnx(frozen, tasks, folder):
    """Writes `<task>.onnx`, whose inputs are the model's and whose output is the task."""
    for task, network in task_networks(frozen, tasks).items():
        file = folder / f"{task}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the exporters trace, not of the network
            network.export(
                str(file), format="onnx", verbose=False, input_signature=input_signature(network)
            )
        _name_output(file, task)


def _name_output(file, name):
    """Names the only output of an ONNX file; the exporter of torch numbers it instead."""
    import onnx

    model = onnx.load(file)
    output = model.graph.output[0]
    for node in model.graph.node:
        node.output[:] = [name if made == output.name else made for made in node.output]
        node.input[:] = [name if taken == output.name else taken for taken in node.input]
    output.name = name
    onnx.save(model, file)


def write_litert(frozen, tasks, folder):
    """Writes `<task>.tflite`, whose signature takes the model's inputs and gives the task."""
    for task, network in task_networks(frozen, tasks).items():
        network.export(
            str(folder / f"{task}.tflite"),
            format="litert",
            verbose=False,
            input_signature=input_signature(network),
        )
