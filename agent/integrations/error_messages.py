"""Error messages for a language model, in one line: no traceback, no path, no file name but the caller's own."""

import re

from langgraph.errors import GraphRecursionError

from ibisagent.tools.errors import InputError, MissingExtra, StoreError
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["redact_error", "user_message"]

_FILE_FAULT = re.compile(r"^(?P<name>.*): (?P<fault>(?:got|could not be|its pixels|not a) .*)$")
_PATH = re.compile(r"""(?<![\w/])(?:[A-Za-z]:)?[/\\](?:[^\s'",;:()]+)""")
_FIELDS = (
    *("image", "request", "prompts", "mask", "region", "clicks", "click", "similar", "box", "slice", "window"),
    *("session", "formats", "refine", "targets", "label map", "array", "oracle", "loop", "trajectory", "view", "seed"),
    *("propose", "the file", "the zip", "case", "reader", "verdict", "failure", "start"),
)
"""Subjects of an error message other than a file, whose name may be a patient's."""
_OUR_SUBJECT = re.compile(rf"(?:(?:{'|'.join(_FIELDS)})(?:\[\d+\])*|(?:prompt|thread|policy|segmenter) '.*)$")


class _RedactedError(InputError):
    """An error without any name or path that the caller did not give."""


def redact_error(error: InputError, caller_name: str | None = None) -> InputError:
    """Return the error with the caller's name in place of a file's own, which may hold a patient's, and without paths.

    ``caller_name``: a path, a data URL, or the name of an argument; None for a file that the caller did not name.
    """
    if isinstance(error, _RedactedError):
        return error
    found = _FILE_FAULT.match(" ".join(str(error).split()))
    if found is None or _OUR_SUBJECT.match(found["name"]):
        return _RedactedError(_without_paths(str(error)))
    return _RedactedError(f"{_caller_name(caller_name)}: {_without_paths(found['fault'])}")


def _caller_name(given: str | None) -> str:
    if given is not None and given[:5].lower() == "data:":
        return "the data URL"
    return printable_text(given or "the file")


def user_message(error: Exception, caller_name: str | None = None) -> str:
    """Return one line on the error and its remedy; no traceback, no path, no name of a file.

    ``caller_name``: what the caller named the file; it replaces the name in the error.
    """
    said = (
        str(redact_error(error, caller_name)) + "." if isinstance(error, InputError) else _without_paths(_reason(error))
    )
    return f"Error: {said}"


def _without_paths(text: str) -> str:
    return _PATH.sub("...", " ".join(text.split()))


def _reason(error: Exception) -> str:
    if isinstance(error, MissingExtra):
        return f"{error}; this is for the operator to do."
    if isinstance(error, StoreError):
        return "the run could not be stored, or its records are gone. Start anew, or tell the operator."
    if isinstance(error, TimeoutError):
        return "a model did not answer in time. Try again later, or ask a person."
    if isinstance(error, GraphRecursionError):
        return "the steps that the enclosing graph allows are spent. Ask for less at once, or allow it more."
    if isinstance(error, ConnectionError):
        return "a model cannot be reached. Try again later, or ask a person."
    if isinstance(error, OSError):
        return f"a file could not be read or written ({describe_os_error(error)}). Check it, or tell the operator."
    return f"something inside failed ({type(error).__name__}). Trying the same again will not help; tell the operator."
