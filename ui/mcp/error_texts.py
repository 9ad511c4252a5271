"""Errors in the words of the tools: one line on which the calling model can act, without a path or a patient's name."""

import logging

from ibisagent.agent.integrations.error_messages import user_message
from ibisagent.tools.errors import IbisError, InputError
from ibisagent.ui.sessions.session_errors import (
    FilesNotServed,
    PromptsRequired,
    RequestRequired,
    SessionFull,
    UnknownSession,
)

__all__ = ["error_text"]

_LOG = logging.getLogger(__name__)
_TEXTS: dict[type[Exception], str] = {
    FilesNotServed: "path: this server reads no files; give a data URL, or start it with --root",
    PromptsRequired: "clicks: got none, and no region or mask, but this server has no clicking model; add one of them",
    RequestRequired: "request: got nothing, expected a text, clicks, a region or a mask; add one of them",
}
_REMEDIES: dict[type[Exception], str] = {
    SessionFull: "begin another with segment, and this one's handle as the mask",
    UnknownSession: "begin one with segment",
}


def error_text(error: Exception, given: str | None = None) -> str:
    """Return the line for any exception; ``given``: the image as the client named it."""
    if not isinstance(error, IbisError):
        _LOG.error("a bug, or an external failure", exc_info=error)
    return user_message(_translated(error), given).removeprefix("Error: ")


def _translated(error: Exception) -> Exception:
    if type(error) in _TEXTS:
        return InputError(_TEXTS[type(error)])
    if type(error) in _REMEDIES:
        return InputError(f"{str(error).partition('; ')[0]}; {_REMEDIES[type(error)]}")
    return error
