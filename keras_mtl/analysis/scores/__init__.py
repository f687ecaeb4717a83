"""Scores of methods: gains by sharing, tests over seeds, tagging."""
