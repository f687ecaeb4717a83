"""Pictures of scores: over training, by method, against what they cost."""
