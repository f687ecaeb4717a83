"""Experiments and measurements behind the figures in docs/, each in a folder of its own.

python -m benchmarks.<experiment>.<script> --help    # at the root of the repository
"""
