"""The errors that a user can cause.

IbisError(Exception)
|-- InputError(ValueError)      a file, array, option or reply of the user's is at fault
|-- StoreError(OSError)         a run store cannot be written, or no longer holds what a run refers to
|-- MissingExtra(ImportError)   an optional dependency is not installed
|-- NoReply(RuntimeError)       a model's provider refused to reply, or filtered the reply
`-- RunFailed(RuntimeError)     a run ended because its policy, segmenter or store failed
"""

from importlib.util import find_spec

__all__ = ["IbisError", "InputError", "MissingExtra", "RunFailed", "StoreError", "describe_error", "install_hint"]


def describe_error(error: BaseException, limit: int = 500) -> str:
    r"""Return an error in one line, printable and of at most ``limit`` characters, for a message or a record.

    An error of our own is its text; any other has its type before it.

    >>> describe_error(ValueError("no digits\n(in line 3)")), describe_error(ValueError())
    ('ValueError: no digits (in line 3)', 'ValueError')
    """
    text = "".join(each if each.isprintable() else "\ufffd" for each in " ".join(str(error).split()))
    if not isinstance(error, IbisError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def install_hint(extra: str) -> str:
    """Return the command that installs an extra, for a shell in a clone: no package index has the project."""
    return f"pip install -e '.[{extra}]' -c constraints.txt"


class IbisError(Exception):
    """Base of every error that this package raises on purpose; its text is one line: got, expected, what to do.

    ``exit_code``: that of the command line.
    """

    exit_code = 2


class InputError(IbisError, ValueError):
    """The user's input is at fault."""


class StoreError(IbisError, OSError):
    """A run store failed: a full disk, a folder that vanished; inside a run it is the stop reason ``store_error``."""


class MissingExtra(IbisError, ImportError):
    """An optional dependency is missing; the line names the extra to install."""

    @classmethod
    def of(cls, module: str, extra: str) -> "MissingExtra":
        """Name the missing ``module`` and the ``extra`` that brings it."""
        return cls(f"{module} is not installed; run in a clone of ibisagent: {install_hint(extra)}")

    @classmethod
    def require(cls, extra: str, *modules: str) -> None:
        """Raise where one of the ``modules`` of an ``extra`` is missing, before anything is computed that needs it."""
        for module in modules:
            if find_spec(module) is None:
                raise cls.of(module, extra)


class NoReply(IbisError, RuntimeError):
    """A model's provider refused to reply, or filtered the reply; inside a run it is ``policy_error``."""

    exit_code = 3


class RunFailed(IbisError, RuntimeError):
    """A policy, a segmenter or a run store failed, after the result so far was written."""

    exit_code = 3
