"""Leave an argument out of a function's signature, and so out of the schema that is inferred from it."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["hide_argument"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def hide_argument(function: _Function, name: str) -> _Function:
    """Hide an argument that has a default; the function itself is returned, and can still be called with it.

    >>> def area(width: int, height: int = 1) -> int:
    ...     return width * height
    >>> inspect.signature(hide_argument(area, "height"))
    <Signature (width: int) -> int>
    """
    signature = inspect.signature(function)
    kept = [each for each in signature.parameters.values() if each.name != name]
    function.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    function.__annotations__.pop(name)
    return function
