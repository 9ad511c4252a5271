"""The one boundary between a file's bytes and the libraries that decode them.

A hostile file can make a decoder raise anything and print anything. Here every such error becomes one line of
`InputError`, and the libraries' warnings and log lines, which quote header values (patient names among them), are
held back.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ibisagent.tools.errors import IbisError, InputError

__all__ = ["MAX_PIXELS", "decode_guard", "require_size"]

MAX_PIXELS = 89_478_485
"""Largest picture that is decoded, in pixels; Pillow's own limit, 256 MiB at three bytes a pixel."""

_LIBRARIES = {"PIL", "nibabel", "openjpeg", "pydicom", "pylibjpeg", "tifffile"}


def require_size(name: str, height: int, width: int) -> None:
    """Refuse, before anything is decoded, a picture without pixels or with more than `MAX_PIXELS`."""
    if height < 1 or width < 1:
        raise InputError(f"{name}: got a picture of {height} x {width} pixels, expected at least 1 x 1; export it anew")
    if height * width > MAX_PIXELS:
        limit = f"expected at most {MAX_PIXELS:,} pixels"
        raise InputError(f"{name}: got a picture of {height} x {width} pixels, {limit}; crop or shrink it")


@contextmanager
def decode_guard(name: str, expected: str, remedy: str = "check that it was copied whole") -> Iterator[None]:
    """Convert whatever a decoder raises about file ``name`` into an `InputError`; our own errors pass through.

    The decoder's text is left out on purpose: it can quote a patient header, a path, or run over several lines.
    """
    try:
        with _suppress_output():
            yield
    except (IbisError, ImportError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise InputError(f"{name}: got data that cannot be decoded ({kind}), expected {expected}; {remedy}") from None


class _WarningSuppressor:
    """Warnings off while any thread decodes: the first in turns them off, the last out restores them.

    `warnings.catch_warnings` alone is not safe in threads: overlapping entries can restore each other's filters.
    """

    def __init__(self) -> None:
        self.lock, self.depth, self.filters = threading.Lock(), 0, ExitStack()

    def enter(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self.depth += 1

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.filters.close()


_suppressor = _WarningSuppressor()
_thread = threading.local()


def _is_not_decoding(record: logging.LogRecord) -> bool:  # noqa: ARG001 - the signature of a logging filter
    return not getattr(_thread, "decoding", False)


def _filter_library_logs() -> None:
    """Filter the libraries' loggers in this thread only; a filter on a parent logger does not reach its children."""
    for name in {*_LIBRARIES, *logging.root.manager.loggerDict}:  # one may be imported while it decodes
        if name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(_is_not_decoding)


@contextmanager
def _suppress_output() -> Iterator[None]:
    _filter_library_logs()
    outer = getattr(_thread, "decoding", False)
    _suppressor.enter()
    _thread.decoding = True
    try:
        yield
    finally:
        _thread.decoding = outer
        _suppressor.leave()
