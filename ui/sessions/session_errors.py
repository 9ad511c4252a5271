"""What a client can do wrong with sessions; an interface may put its own words for a remedy in place of these."""

from ibisagent.tools.errors import InputError

__all__ = ["FilesNotServed", "PromptsRequired", "RequestRequired", "SessionFull", "UnknownSession"]


class FilesNotServed(InputError):
    """A path was given, but there is no root from which files are read."""

    def __init__(self) -> None:
        """Name the path as the fault."""
        super().__init__("path: no files are read here; give a data URL")


class UnknownSession(InputError):
    """There is no such session, it has ended, or it is another owner's: the words are the same."""

    def __init__(self, subject: str = "session") -> None:
        """Name the ``subject``, the argument that holds the handle."""
        super().__init__(f"{subject}: got an unknown handle, or one whose session has ended; open a new one")


class SessionFull(InputError):
    """A session has as many steps as it may have."""

    def __init__(self, steps: int) -> None:
        """Name the limit."""
        super().__init__(f"session: it has reached its limit of {steps} steps; open another with this one's mask")


class PromptsRequired(InputError):
    """The policy adds no prompts, and neither a prompt nor a mask was given."""

    def __init__(self) -> None:
        """Name the prompts as missing."""
        super().__init__("clicks: got none, and no box or mask, but no policy clicks here; add one of them")


class RequestRequired(InputError):
    """Neither words nor a prompt nor a mask was given."""

    def __init__(self) -> None:
        """Name the request as missing."""
        super().__init__("request: got nothing, expected a text, clicks, a box or a mask; add one of them")
