"""A few cells of the matrix that hold every pair of what two of their four columns say."""

import itertools
import random


def pairs_of(cell):
    """Returns all pairs of columns with what a cell says there."""
    return set(itertools.combinations(enumerate(cell), 2))


def pairwise_cover(cells, seed=0):
    """Returns cells that hold every pair that occurs: always the next that has most new ones."""
    shuffled = random.Random(seed).sample(cells, len(cells))
    left = set().union(*map(pairs_of, shuffled))
    chosen = []
    while left:
        best = max(shuffled, key=lambda cell: len(left & pairs_of(cell)))
        chosen.append(best)
        left -= pairs_of(best)
    return chosen
