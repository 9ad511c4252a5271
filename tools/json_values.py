"""Values in Python's built-in types, as a checkpointer and JSON keep them."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["to_builtin"]

_BUILTIN_TYPES = {str, int, float, bool, type(None)}
_CONVERTERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (str, str.__str__),  # not `str`, for which an enumeration's member is its name
    (np.bool_, bool),
    ((int, np.integer), int),
    ((float, np.floating), float),
    (os.PathLike, lambda path: to_builtin(os.fspath(path))),
    (Mapping, lambda mapping: {to_builtin(key): to_builtin(part) for key, part in mapping.items()}),
    ((list, tuple), lambda parts: [to_builtin(part) for part in parts]),
    (np.ndarray, lambda array: to_builtin(array[()] if array.ndim == 0 else list(array))),
)


def to_builtin(value: Any) -> Any:
    """Return a value with every part of a library's type as Python's own: dict, list, str, int, float, bool or None.

    NumPy's scalars, pydicom's numbers and a reader's string types compare equal to built-in ones, and yet no
    checkpointer writes them. Paths become text, tuples and arrays lists. Anything else is left as it is.

    >>> to_builtin({"spacing_mm": (np.float64(0.5), 1), "n": np.int64(3)})
    {'spacing_mm': [0.5, 1], 'n': 3}
    """
    if type(value) in _BUILTIN_TYPES:
        return value
    made = next((make for kind, make in _CONVERTERS if isinstance(value, kind)), None)
    return value if made is None else made(value)
