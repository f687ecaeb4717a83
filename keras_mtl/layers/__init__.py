"""Layers of multi-task networks: routers, gates, components, mixing, penalties, heads.

What is re-exported under its own name is for users, the rest is what builders are made of.
"""

from keras_mtl.layers.components.expert_streams import ExpertStreams
from keras_mtl.layers.components.mlp import MLP as MLP
from keras_mtl.layers.components.modular import Modular as Modular
from keras_mtl.layers.components.residual import ResidualBlock as ResidualBlock
from keras_mtl.layers.components.residual_blocks import ResidualConv1D as ResidualConv1D
from keras_mtl.layers.components.residual_blocks import ResidualConv2D as ResidualConv2D
from keras_mtl.layers.components.residual_dense import ResidualDense as ResidualDense
from keras_mtl.layers.components.routed_modular import RoutedModular
from keras_mtl.layers.components.skippable import SkippableBlock
from keras_mtl.layers.gates.dselect_k_gates import DSelectKGates as DSelectKGates
from keras_mtl.layers.gates.instance_gate import InstanceGate as InstanceGate
from keras_mtl.layers.gates.stream_gates import StreamGates
from keras_mtl.layers.gates.task_gates import TaskGates as TaskGates
from keras_mtl.layers.gates.top_k_gates import NoisyTopKGates as NoisyTopKGates
from keras_mtl.layers.heads.funnel_head import FunnelHead
from keras_mtl.layers.heads.task_head import TaskHead
from keras_mtl.layers.heads.task_heads import TaskHeads
from keras_mtl.layers.mixing.layer_mixture import LayerConcat, LayerMixture
from keras_mtl.layers.mixing.shared_mask import SharedMask
from keras_mtl.layers.mixing.sluice import Sluice as Sluice
from keras_mtl.layers.mixing.stitch import CrossStitch as CrossStitch
from keras_mtl.layers.mixing.stitch import Stitch
from keras_mtl.layers.mixing.sub_network_routing import SubNetworkRouting
from keras_mtl.layers.penalties.allocation_penalty import AllocationPenalty
from keras_mtl.layers.penalties.connection_penalty import ConnectionPenalty
from keras_mtl.layers.penalties.gradient_reversal import GradientReversal as GradientReversal
from keras_mtl.layers.penalties.orthogonality import SubspaceOrthogonality
from keras_mtl.layers.penalties.policy_penalty import PolicyPenalty
from keras_mtl.layers.penalties.rate_penalty import TargetRatePenalty
from keras_mtl.layers.penalties.shared_private import AdversarialPenalty, OrthogonalityPenalty
from keras_mtl.layers.recurrent.bilstm import BiLSTM as BiLSTM
from keras_mtl.layers.recurrent.bilstm import JoinDirections
from keras_mtl.layers.recurrent.channelwise_lstm import ChannelwiseLSTM as ChannelwiseLSTM
from keras_mtl.layers.recurrent.communicating_lstm import CommunicatingLSTM
from keras_mtl.layers.recurrent.composite_lstm import CompositeLSTM
from keras_mtl.layers.recurrent.last_step import LastStep as LastStep
from keras_mtl.layers.recurrent.modular_decoder import ModularDecoder
from keras_mtl.layers.recurrent.recurrent_modular import RecurrentModular as RecurrentModular
from keras_mtl.layers.recurrent.recurrent_modular_cell import (
    RecurrentModularCell as RecurrentModularCell,
)
from keras_mtl.layers.recurrent.routed_lstm import RoutedLSTM
from keras_mtl.layers.recurrent.sub_encoders import SubEncoders
from keras_mtl.layers.recurrent.word_dropout import WordDropout as WordDropout
from keras_mtl.layers.routers.allocation import Allocation, FixedAllocation
from keras_mtl.layers.routers.allocation_matrix import AllocationMatrix as AllocationMatrix
from keras_mtl.layers.routers.block_policy import BlockPolicy as BlockPolicy
from keras_mtl.layers.routers.gumbel import GumbelRouter as GumbelRouter
from keras_mtl.layers.routers.gumbel import straight_through as straight_through
from keras_mtl.layers.routers.hard_concrete import HardConcrete as HardConcrete
from keras_mtl.layers.routers.routing_policy import RoutingPolicy as RoutingPolicy
from keras_mtl.layers.routers.soft_allocation import SoftAllocation
from keras_mtl.layers.routers.task_mask import TaskMask
from keras_mtl.layers.rows import OwnRows, PickTask, RepeatRows, SplitTasks, TaskRows
from keras_mtl.row_embedding import RowEmbedding as RowEmbedding
