"""Looks into trained networks."""

from keras_mtl.analysis.allocated.allocation import allocation as allocation
from keras_mtl.analysis.allocated.allocation import allocation_entropy as allocation_entropy
from keras_mtl.analysis.allocated.allocation import (
    allocation_probabilities as allocation_probabilities,
)
from keras_mtl.analysis.allocated.allocation import task_distance as task_distance
from keras_mtl.analysis.allocated.allocation import task_embeddings as task_embeddings
from keras_mtl.analysis.allocated.allocation import task_similarity as task_similarity
from keras_mtl.analysis.allocated.policy import sample_policy as sample_policy
from keras_mtl.analysis.allocated.routes import grouping_agreement as grouping_agreement
from keras_mtl.analysis.allocated.routes import policy_perplexity as policy_perplexity
from keras_mtl.analysis.allocated.routes import route_similarity as route_similarity
from keras_mtl.analysis.allocated.usage import ActiveFraction as ActiveFraction
from keras_mtl.analysis.allocated.usage import active_fraction as active_fraction
from keras_mtl.analysis.allocated.usage import usage_by_depth as usage_by_depth
from keras_mtl.analysis.costs.executed_flops import executed_flops as executed_flops
from keras_mtl.analysis.costs.execution import executed_blocks as executed_blocks
from keras_mtl.analysis.costs.sharing import SharingReport as SharingReport
from keras_mtl.analysis.costs.sharing import sharing_report as sharing_report
from keras_mtl.analysis.experts import ExpertUsage as ExpertUsage
from keras_mtl.analysis.experts import expert_usage as expert_usage
from keras_mtl.analysis.recurrent.connections import OpenConnections as OpenConnections
from keras_mtl.analysis.recurrent.connections import open_connections as open_connections
from keras_mtl.analysis.recurrent.relatedness import relatedness_over_time as relatedness_over_time
from keras_mtl.analysis.recurrent.routing import routing_over_time as routing_over_time
from keras_mtl.analysis.recurrent.routing import sub_encoder_usage as sub_encoder_usage
from keras_mtl.analysis.recurrent.routing_callback import RoutingRecorder as RoutingRecorder
from keras_mtl.analysis.scores.calibration_error import calibration_error as calibration_error
from keras_mtl.analysis.scores.delta import Delta as Delta
from keras_mtl.analysis.scores.delta import task_delta as task_delta
from keras_mtl.analysis.scores.gains import GainCorrelation as GainCorrelation
from keras_mtl.analysis.scores.gains import error_reduction as error_reduction
from keras_mtl.analysis.scores.gains import gain_correlations as gain_correlations
from keras_mtl.analysis.scores.gains import label_entropy as label_entropy
from keras_mtl.analysis.scores.group_auc_callback import GroupAUC as GroupAUC
from keras_mtl.analysis.scores.grouped_auc import grouped_auc as grouped_auc
from keras_mtl.analysis.scores.paired import PairedTest as PairedTest
from keras_mtl.analysis.scores.paired import holm as holm
from keras_mtl.analysis.scores.paired import mean_interval as mean_interval
from keras_mtl.analysis.scores.paired import paired_test as paired_test
from keras_mtl.analysis.scores.pareto import pareto_front as pareto_front
from keras_mtl.analysis.scores.tagging import TaggingScores as TaggingScores
from keras_mtl.analysis.scores.tagging import tagging_scores as tagging_scores
from keras_mtl.analysis.scores.tagging_callback import TaggingRecorder as TaggingRecorder
from keras_mtl.analysis.scores.welch import WelchTest as WelchTest
from keras_mtl.analysis.scores.welch import welch_test as welch_test
from keras_mtl.analysis.stitches import alphas as alphas
from keras_mtl.analysis.stitches import betas as betas
from keras_mtl.analysis.stitches import cross_task_mass as cross_task_mass
