"""Names of Keras's own losses and metrics, by the labels and answers that they read."""

CLASSES = (
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "iou",
    "mean_iou",
)
NUMBERS = (
    "mean_squared_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "log_cosh_error",
    "poisson",
    "hinge",
    "squared_hinge",
    "r2_score",
)
YES_OR_NO = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "binary_accuracy",
    "auc",
    "precision",
    "recall",
    "true_positives",
    "true_negatives",
    "false_positives",
    "false_negatives",
    "precision_at_recall",
    "recall_at_precision",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "f1_score",
    "fbeta_score",
    *NUMBERS,
)
LOGITS = (  # numbers may be read as logits
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "auc",
)
VECTORS = (  # say nothing about a single value
    "cosine_similarity",
    "categorical_hinge",
    "pearson_correlation",
    "concordance_correlation",
)
