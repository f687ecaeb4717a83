"""What networks are made of: components, who decides about them, how they meet."""

from keras_mtl.layers.allocation import Allocation, FixedAllocation
from keras_mtl.layers.allocation_matrix import AllocationMatrix
from keras_mtl.layers.bilstm import BiLSTM, JoinDirections
from keras_mtl.layers.block_policy import BlockPolicy
from keras_mtl.layers.channelwise_lstm import ChannelwiseLSTM
from keras_mtl.layers.communicating_lstm import CommunicatingLSTM
from keras_mtl.layers.composite_lstm import CompositeLSTM
from keras_mtl.layers.connection_penalty import ConnectionPenalty
from keras_mtl.layers.dselect_k_gates import DSelectKGates
from keras_mtl.layers.expert_streams import ExpertStreams
from keras_mtl.layers.gradient_reversal import GradientReversal
from keras_mtl.layers.gumbel import GumbelRouter, straight_through
from keras_mtl.layers.hard_concrete import HardConcrete
from keras_mtl.layers.heads import TaskHead, TaskHeads
from keras_mtl.layers.instance_gate import InstanceGate
from keras_mtl.layers.last_step import LastStep
from keras_mtl.layers.mixture import LayerConcat, LayerMixture
from keras_mtl.layers.mlp import MLP
from keras_mtl.layers.modular import Modular
from keras_mtl.layers.modular_decoder import ModularDecoder
from keras_mtl.layers.orthogonality import SubspaceOrthogonality
from keras_mtl.layers.penalties import AllocationPenalty
from keras_mtl.layers.policy_penalty import PolicyPenalty
from keras_mtl.layers.rate_penalty import TargetRatePenalty
from keras_mtl.layers.recurrent_modular import RecurrentModular
from keras_mtl.layers.recurrent_modular_cell import RecurrentModularCell
from keras_mtl.layers.residual import ResidualBlock
from keras_mtl.layers.residual_blocks import ResidualConv1D, ResidualConv2D
from keras_mtl.layers.residual_dense import ResidualDense
from keras_mtl.layers.routed_lstm import RoutedLSTM
from keras_mtl.layers.routed_modular import RoutedModular
from keras_mtl.layers.routing_policy import RoutingPolicy
from keras_mtl.layers.shared_mask import SharedMask
from keras_mtl.layers.shared_private import AdversarialPenalty, OrthogonalityPenalty
from keras_mtl.layers.skippable import SkippableBlock
from keras_mtl.layers.sluice import Sluice
from keras_mtl.layers.soft_allocation import SoftAllocation
from keras_mtl.layers.stitch import CrossStitch, Stitch
from keras_mtl.layers.stream_gates import StreamGates
from keras_mtl.layers.sub_encoders import SubEncoders
from keras_mtl.layers.sub_network_routing import SubNetworkRouting
from keras_mtl.layers.task_gates import TaskGates
from keras_mtl.layers.task_mask import TaskMask
from keras_mtl.layers.task_rows import OwnRows, PickTask, RepeatRows, SplitTasks, TaskRows
from keras_mtl.layers.top_k_gates import NoisyTopKGates
from keras_mtl.layers.word_dropout import WordDropout

__all__ = [
    "AdversarialPenalty",
    "Allocation",
    "AllocationMatrix",
    "AllocationPenalty",
    "BiLSTM",
    "BlockPolicy",
    "ChannelwiseLSTM",
    "CommunicatingLSTM",
    "CompositeLSTM",
    "ConnectionPenalty",
    "CrossStitch",
    "DSelectKGates",
    "ExpertStreams",
    "FixedAllocation",
    "GradientReversal",
    "GumbelRouter",
    "HardConcrete",
    "InstanceGate",
    "JoinDirections",
    "LastStep",
    "LayerConcat",
    "LayerMixture",
    "MLP",
    "Modular",
    "ModularDecoder",
    "NoisyTopKGates",
    "OrthogonalityPenalty",
    "OwnRows",
    "PickTask",
    "PolicyPenalty",
    "RecurrentModular",
    "RecurrentModularCell",
    "RepeatRows",
    "ResidualBlock",
    "ResidualConv1D",
    "ResidualConv2D",
    "ResidualDense",
    "RoutedLSTM",
    "RoutedModular",
    "RoutingPolicy",
    "SharedMask",
    "SkippableBlock",
    "Sluice",
    "SoftAllocation",
    "SplitTasks",
    "Stitch",
    "StreamGates",
    "SubEncoders",
    "SubNetworkRouting",
    "SubspaceOrthogonality",
    "TargetRatePenalty",
    "TaskGates",
    "TaskHead",
    "TaskHeads",
    "TaskMask",
    "TaskRows",
    "WordDropout",
    "straight_through",
]
