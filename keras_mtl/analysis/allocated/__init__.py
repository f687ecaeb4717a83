"""Analyses of networks that allocate components to tasks."""
