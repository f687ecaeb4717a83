"""Seeds of several that draw, made from the one that a user gives."""


def seed_of(seed, index):
    """Returns the seed of the index-th of several: another for each, `None` where there is none."""
    return None if seed is None else seed + index
