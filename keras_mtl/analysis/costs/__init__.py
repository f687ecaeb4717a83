"""Costs of tasks: the layer calls that each runs, their FLOPs and parameters."""
