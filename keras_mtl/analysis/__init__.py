"""Looks into trained networks."""

from keras_mtl.analysis.allocated.allocation import (
    allocation,
    allocation_entropy,
    allocation_probabilities,
    task_distance,
    task_embeddings,
    task_similarity,
)
from keras_mtl.analysis.allocated.policy import sample_policy
from keras_mtl.analysis.allocated.routes import (
    grouping_agreement,
    policy_perplexity,
    route_similarity,
)
from keras_mtl.analysis.allocated.usage import ActiveFraction, active_fraction, usage_by_depth
from keras_mtl.analysis.costs.executed_flops import executed_flops
from keras_mtl.analysis.costs.execution import executed_blocks
from keras_mtl.analysis.costs.sharing import SharingReport, sharing_report
from keras_mtl.analysis.experts import ExpertUsage, expert_usage
from keras_mtl.analysis.recurrent.connections import OpenConnections, open_connections
from keras_mtl.analysis.recurrent.relatedness import relatedness_over_time
from keras_mtl.analysis.recurrent.routing import routing_over_time, sub_encoder_usage
from keras_mtl.analysis.recurrent.routing_callback import RoutingRecorder
from keras_mtl.analysis.scores.delta import Delta, task_delta
from keras_mtl.analysis.scores.gains import (
    GainCorrelation,
    error_reduction,
    gain_correlations,
    label_entropy,
)
from keras_mtl.analysis.scores.tagging import TaggingScores, tagging_scores
from keras_mtl.analysis.scores.tagging_callback import TaggingRecorder
from keras_mtl.analysis.scores.welch import WelchTest, welch_test
from keras_mtl.analysis.stitches import alphas, betas, cross_task_mass

__all__ = [
    "ActiveFraction",
    "Delta",
    "ExpertUsage",
    "GainCorrelation",
    "OpenConnections",
    "RoutingRecorder",
    "SharingReport",
    "TaggingRecorder",
    "TaggingScores",
    "WelchTest",
    "active_fraction",
    "allocation",
    "allocation_entropy",
    "allocation_probabilities",
    "alphas",
    "betas",
    "cross_task_mass",
    "error_reduction",
    "executed_blocks",
    "executed_flops",
    "expert_usage",
    "gain_correlations",
    "grouping_agreement",
    "label_entropy",
    "open_connections",
    "policy_perplexity",
    "relatedness_over_time",
    "route_similarity",
    "routing_over_time",
    "sample_policy",
    "sharing_report",
    "sub_encoder_usage",
    "tagging_scores",
    "task_delta",
    "task_distance",
    "task_embeddings",
    "task_similarity",
    "usage_by_depth",
    "welch_test",
]
