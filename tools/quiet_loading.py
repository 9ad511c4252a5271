"""Silence for libraries that print while they load."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["suppress_load_output"]


@contextmanager
def suppress_load_output(logging: Any) -> Iterator[None]:
    """Suppress transformers' report and progress bar of a load: what is wrong is raised."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
