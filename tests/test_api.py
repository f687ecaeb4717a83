"""The public names, which scripts rest on."""

import subprocess
import sys

import keras_mtl

PUBLIC = [
    "AllocationRecorder",
    "AtomicBackup",
    "CAGrad",
    "CopyComponents",
    "CycleTemperature",
    "DynamicWeightAverage",
    "FirstOrderMAML",
    "GradNorm",
    "HalvingSchedule",
    "MultiTaskModel",
    "PCGrad",
    "PolicyPhases",
    "RampSchedule",
    "RandomLossWeighting",
    "Task",
    "TemperatureSchedule",
    "UncertaintyWeighting",
    "add_task",
    "allocation",
    "allocation_entropy",
    "allocation_optimizer",
    "allocation_probabilities",
    "alternating_optimizer",
    "analysis",
    "build_adashare",
    "build_communicating",
    "build_cross_stitch",
    "build_dselect_k",
    "build_dynashare",
    "build_fixed_random",
    "build_girnet",
    "build_gumbel_matrix",
    "build_low_supervision",
    "build_mmoe",
    "build_mmoeex",
    "build_moe",
    "build_no_sharing",
    "build_ple",
    "build_recurrent_modular",
    "build_recursive_routing",
    "build_routing_network",
    "build_shared_bottom",
    "build_shared_private",
    "build_single_tasks",
    "build_sluice",
    "build_snr",
    "build_soft_ordering",
    "build_task_routing",
    "check_freeze",
    "cut_report",
    "data",
    "export",
    "freeze",
    "layers",
    "load_served",
    "plots",
    "routing_over_time",
    "sample_policy",
    "sharing_report",
    "streaming",
    "synthetic_pairs",
    "task_batches",
    "task_embeddings",
    "task_similarity",
    "tuning",
]


def test_public_names_are_these():
    assert sorted(keras_mtl.__all__) == PUBLIC


def test_every_public_name_has_a_docstring():
    for name in keras_mtl.__all__:
        assert getattr(keras_mtl, name).__doc__, name


def test_extras_are_not_needed_to_import():
    banned = ["matplotlib", "keras_tuner", "sklearn", "seqscore", "conllu"]
    banned += ["tensorflow_datasets", "onnx", "tf2onnx"]
    code = f"import sys; sys.modules.update(dict.fromkeys({banned})); import keras_mtl"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
