"""Help texts that name the policies and segmenters of the tables, which are imported only when such a text is shown."""

from typing import Any

from typer.core import TyperCommand

from ibisagent.tools.registry import Entry

__all__ = ["AUTONOMOUS", "PROPOSERS", "SEGMENTERS", "SERVED", "WITHOUT_TRUTH", "NamedHelpCommand", "fill_names"]

SEGMENTERS = "{segmenters}"
PROPOSERS = "{proposers}"
WITHOUT_TRUTH, AUTONOMOUS, SERVED = "{policies without truth}", "{autonomous policies}", "{served policies}"
"""In a help text: the policies that act without the true mask, those that ask no person, and those that do neither."""


class NamedHelpCommand(TyperCommand):
    """A command whose options' help has the above in it."""

    def format_help(self, *arguments: Any) -> None:
        """Write the help, the names filled in."""
        for parameter in self.params:
            if (text := getattr(parameter, "help", None)) is not None:
                parameter.help = fill_names(text)  # type: ignore[attr-defined]
        super().format_help(*arguments)


def fill_names(text: str) -> str:
    """Replace each placeholder by the names that it stands for.

    >>> fill_names("{segmenters}.")[:23]
    'geocut, geodesic, disk,'
    """
    if "{" not in text:
        return text
    from ibisagent.agent.policies import POLICIES
    from ibisagent.agent.proposers import PROPOSERS as PROPOSER_TABLE
    from ibisagent.tools.segmenters import SEGMENTERS as TABLE

    entries = POLICIES.entries
    names = {
        SEGMENTERS: TABLE.forms,
        PROPOSERS: PROPOSER_TABLE.forms,
        WITHOUT_TRUTH: [_explained(entry) for entry in entries if not entry.needs_truth],
        AUTONOMOUS: [_explained(entry) for entry in entries if not entry.is_person],
        SERVED: [_explained(entry) for entry in entries if not (entry.is_person or entry.needs_truth)],
    }
    for placeholder, forms in names.items():
        text = text.replace(placeholder, f"{', '.join(forms)}, or package.module:Class of your own")
    return text


def _explained(entry: Entry) -> str:
    """Return a name with what it is, where its form does not say so."""
    return entry.form if entry.needs_source else f"{entry.form} ({entry.description})"
