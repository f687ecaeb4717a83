"""Analyses of recurrent modular networks: connections that tasks open over time."""
