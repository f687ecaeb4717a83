"""Checks of arguments: each returns plain Python, or names the argument in a `ValueError`.

NumPy's numbers are numbers, and come back as Python's, so that configs can be saved. `True` and
`False` are no numbers.
"""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

_LARGEST = float(np.finfo("float32").max)
MOST = 2**31 - 1  # that an integer of every backend can be


def number(
    name: str,
    value: Any,
    *,
    above: Any = None,
    least: Any = None,
    below: Any = None,
    most: Any = None,
    or_else: str = "",
) -> Any:
    """Returns a finite number between bounds, which float32, in which layers compute, keeps apart.

    Args:
        name: What the argument is called.
        value: What was given.
        above: Bound that is not reached, or `None`.
        least: Smallest number, or `None`.
        below: Bound that is not reached, or `None`.
        most: Largest number, or `None`.
        or_else: What may be given instead of a number, for the error.
    """
    wanted = f"{name} must be a number{_between(above, least, below, most)}{or_else}"
    if not _is(Real, value) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{wanted}. Received: {_short(value)}")
    plain = int(value) if isinstance(value, Integral) else float(value)
    for given, kept in ((plain, ""), (float(np.float32(plain)), ", also as a float32")):
        inside = (above is None or given > above) and (least is None or given >= least)
        if not inside or not ((below is None or given < below) and (most is None or given <= most)):
            raise ValueError(f"{wanted}{kept}. Received: {value!r}")
    return plain


def count(name: str, value: Any, least: int = 1, most: Any = MOST, or_else: str = "") -> Any:
    """Returns an integer between bounds; `or_else` says what may be given instead."""
    if not _is(Integral, value) or not least <= value <= most:
        limit = f"of at least {least}" if most == MOST else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {limit}{or_else}. Received: {_short(value)}")
    return int(value)


def counts(
    name: str,
    value: Any,
    least: int = 0,
    most: Any = MOST,
    length: int = 0,
    what: str = "whole numbers, such as (0, 3)",
) -> Any:
    """Returns a tuple of at least `length` integers between bounds."""
    is_list = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not is_list or len(value) < length:
        number = f"at least {length} " if length else ""
        raise ValueError(f"{name} must be a tuple of {number}{what}. Received: {_short(value)}")
    return tuple(count(f"{name}[{at}]", each, least, most) for at, each in enumerate(value))


def sizes(name: str, value: Any, length: int = 0) -> Any:
    """Returns a tuple of at least `length` sizes, integers from 1."""
    return counts(name, value, 1, length=length, what="sizes, such as (32,)")


def probability(name: str, value: Any) -> Any:
    """Returns a number in (0, 1), whose log-odds are finite."""
    return number(name, value, above=0, below=1)


def fraction(name: str, value: Any) -> Any:
    """Returns a number in (0, 1]."""
    return number(name, value, above=0, most=1)


def flag(name: str, value: Any) -> bool:
    """Returns `True` or `False`."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False. Received: {_short(value)}")
    return bool(value)


def word(name: str, value: Any, allowed: Any) -> Any:
    """Returns one of some words, of which `None` may be one; `allowed` may say what they mean."""
    if not isinstance(value, str | None) or value not in allowed:
        words = [
            (f'"{each}"' if each else "None") + (f" ({allowed[each]})" if is_told else "")
            for is_told in [isinstance(allowed, Mapping)]
            for each in allowed
        ]
        *others, last = words
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {listed}. Received: {_short(value)}")
    return value


def seed(name: str, value: Any) -> Any:
    """Returns an integer of 32 bits without a sign, or `None`."""
    return value if value is None else count(name, value, 0, 2**32 - 1)


def array(name: str, value: Any, wanted: Any) -> Any:
    """Returns an array of finite numbers; `wanted` says of what, for the error."""
    try:
        numbers = np.asarray(value)
        found = numbers.astype("float64")
    except (TypeError, ValueError, OverflowError):
        found = np.array(np.nan)
        numbers = found
    if numbers.dtype.kind not in "biuf" or not np.all(np.abs(found) <= _LARGEST):
        raise ValueError(f"{name} must be {wanted}. Received: {_short(value)}")
    return numbers


def mapping(name: str, value: Any, of: Any) -> Any:
    """Returns a dict; `of` says from what to what it leads, for the error."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a dict, {of}. Received: {_short(value)}")
    return value


def known_to_keras(name: str, value: Any, get: Any) -> Any:
    """Returns what `get`, such as `keras.regularizers.get`, makes of a name or an object."""
    try:
        return get(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{name} is nothing that Keras knows. Received: {value!r}") from error


def _is(kind: Any, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _between(above: Any, least: Any, below: Any, most: Any) -> str:
    """Returns how to say a range."""
    low = above if least is None else least
    high = below if most is None else most
    if low is None and high is None:
        return ""
    if high is None:
        return f" {'above' if least is None else 'of at least'} {low}"
    if low is None:
        return f" {'below' if most is None else 'of at most'} {high}"
    return f" in {'(' if least is None else '['}{low}, {high}{')' if most is None else ']'}"


def _short(value: Any) -> Any:
    """Returns how to print what was given, which may be large."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
