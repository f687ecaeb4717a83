"""Builders: one function a method, each returns an uncompiled functional model."""

from keras_mtl.models.allocated.baselines import build_no_sharing as build_no_sharing
from keras_mtl.models.allocated.baselines import build_shared_bottom as build_shared_bottom
from keras_mtl.models.allocated.baselines import build_single_tasks as build_single_tasks
from keras_mtl.models.allocated.fixed_random import build_fixed_random as build_fixed_random
from keras_mtl.models.allocated.gumbel_matrix import build_gumbel_matrix as build_gumbel_matrix
from keras_mtl.models.allocated.routing_network import (
    build_routing_network as build_routing_network,
)
from keras_mtl.models.allocated.soft_ordering import build_soft_ordering as build_soft_ordering
from keras_mtl.models.allocated.task_routing import build_task_routing as build_task_routing
from keras_mtl.models.blocks.adashare import build_adashare as build_adashare
from keras_mtl.models.blocks.dynashare import build_dynashare as build_dynashare
from keras_mtl.models.experts.dselect_k import build_dselect_k as build_dselect_k
from keras_mtl.models.experts.mmoe import build_mmoe as build_mmoe
from keras_mtl.models.experts.mmoeex import build_mmoeex as build_mmoeex
from keras_mtl.models.experts.moe import build_moe as build_moe
from keras_mtl.models.experts.ple import build_ple as build_ple
from keras_mtl.models.growth.add_task import add_task as add_task
from keras_mtl.models.recurrent.communicating import build_communicating as build_communicating
from keras_mtl.models.recurrent.girnet import build_girnet as build_girnet
from keras_mtl.models.recurrent.recurrent_modular import (
    build_recurrent_modular as build_recurrent_modular,
)
from keras_mtl.models.recurrent.recursive_routing import (
    build_recursive_routing as build_recursive_routing,
)
from keras_mtl.models.recurrent.shared_private import build_shared_private as build_shared_private
from keras_mtl.models.towers.cross_stitch import build_cross_stitch as build_cross_stitch
from keras_mtl.models.towers.low_supervision import build_low_supervision as build_low_supervision
from keras_mtl.models.towers.sluice import build_sluice as build_sluice
from keras_mtl.models.towers.snr import build_snr as build_snr
from keras_mtl.models.warm.report import WarmStart as WarmStart
from keras_mtl.models.warm.warm_start import warm_start as warm_start
