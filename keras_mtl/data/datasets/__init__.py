"""Datasets: readers of files that people have, and made tasks."""
