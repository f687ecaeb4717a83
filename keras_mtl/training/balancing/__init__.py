"""Balancing: methods that weigh tasks against each other, one file each."""
