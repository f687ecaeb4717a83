"""What networks are made of: components, who decides about them, how they meet."""

from keras_mtl.layers.components.expert_streams import ExpertStreams
from keras_mtl.layers.components.mlp import MLP
from keras_mtl.layers.components.modular import Modular
from keras_mtl.layers.components.residual import ResidualBlock
from keras_mtl.layers.components.residual_blocks import ResidualConv1D, ResidualConv2D
from keras_mtl.layers.components.residual_dense import ResidualDense
from keras_mtl.layers.components.routed_modular import RoutedModular
from keras_mtl.layers.components.skippable import SkippableBlock
from keras_mtl.layers.gates.dselect_k_gates import DSelectKGates
from keras_mtl.layers.gates.instance_gate import InstanceGate
from keras_mtl.layers.gates.stream_gates import StreamGates
from keras_mtl.layers.gates.task_gates import TaskGates
from keras_mtl.layers.gates.top_k_gates import NoisyTopKGates
from keras_mtl.layers.heads import TaskHead
from keras_mtl.layers.mixing.layer_mixture import LayerConcat, LayerMixture
from keras_mtl.layers.mixing.shared_mask import SharedMask
from keras_mtl.layers.mixing.sluice import Sluice
from keras_mtl.layers.mixing.stitch import CrossStitch, Stitch
from keras_mtl.layers.mixing.sub_network_routing import SubNetworkRouting
from keras_mtl.layers.penalties.allocation_penalty import AllocationPenalty
from keras_mtl.layers.penalties.connection_penalty import ConnectionPenalty
from keras_mtl.layers.penalties.gradient_reversal import GradientReversal
from keras_mtl.layers.penalties.orthogonality import SubspaceOrthogonality
from keras_mtl.layers.penalties.policy_penalty import PolicyPenalty
from keras_mtl.layers.penalties.rate_penalty import TargetRatePenalty
from keras_mtl.layers.penalties.shared_private import AdversarialPenalty, OrthogonalityPenalty
from keras_mtl.layers.recurrent.bilstm import BiLSTM, JoinDirections
from keras_mtl.layers.recurrent.channelwise_lstm import ChannelwiseLSTM
from keras_mtl.layers.recurrent.communicating_lstm import CommunicatingLSTM
from keras_mtl.layers.recurrent.composite_lstm import CompositeLSTM
from keras_mtl.layers.recurrent.last_step import LastStep
from keras_mtl.layers.recurrent.modular_decoder import ModularDecoder
from keras_mtl.layers.recurrent.recurrent_modular import RecurrentModular
from keras_mtl.layers.recurrent.recurrent_modular_cell import RecurrentModularCell
from keras_mtl.layers.recurrent.routed_lstm import RoutedLSTM
from keras_mtl.layers.recurrent.sub_encoders import SubEncoders
from keras_mtl.layers.recurrent.word_dropout import WordDropout
from keras_mtl.layers.routers.allocation import Allocation, FixedAllocation
from keras_mtl.layers.routers.allocation_matrix import AllocationMatrix
from keras_mtl.layers.routers.block_policy import BlockPolicy
from keras_mtl.layers.routers.gumbel import GumbelRouter, straight_through
from keras_mtl.layers.routers.hard_concrete import HardConcrete
from keras_mtl.layers.routers.routing_policy import RoutingPolicy
from keras_mtl.layers.routers.soft_allocation import SoftAllocation
from keras_mtl.layers.routers.task_mask import TaskMask
from keras_mtl.layers.rows import OwnRows, PickTask, RepeatRows, SplitTasks, TaskRows
from keras_mtl.layers.task_heads import TaskHeads

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
