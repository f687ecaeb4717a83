"""Seeds of several that draw, made from the one that a user gives."""

from typing import Any


def seed_of(seed: int | None, index: int) -> Any:
    """Returns the seed of the index-th of several: another for each, `None` where there is none."""
    return None if seed is None else seed + index
