"""Help texts that name the policies and segmenters of the tables, which are imported only when such a text is shown.

And the command that keeps the order of options which may alternate.
"""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from ibisagent.tools.registry import Entry

__all__ = [
    "AUTONOMOUS",
    "EVALUATORS",
    "PROPOSERS",
    "SEGMENTERS",
    "SERVED",
    "TAKE_EXAMPLES",
    "WITHOUT_TRUTH",
    "NamedHelpCommand",
    "OrderedMarksCommand",
    "fill_names",
    "in_order",
]

SEGMENTERS = "{segmenters}"
PROPOSERS = "{proposers}"
EVALUATORS = "{evaluators}"
TAKE_EXAMPLES = "{segmenters that take examples}"
WITHOUT_TRUTH, AUTONOMOUS, SERVED = "{policies without truth}", "{autonomous policies}", "{served policies}"
"""In a help text: the policies that act without the true mask, those that ask no person, and those that do neither."""


_MARKS = ("click", "similar")


class NamedHelpCommand(TyperCommand):
    """A command whose options' help has the above in it."""

    def format_help(self, *arguments: Any) -> None:
        """Write the help, the names filled in."""
        for parameter in self.params:
            if (text := getattr(parameter, "help", None)) is not None:
                parameter.help = fill_names(text)  # type: ignore[attr-defined]
        super().format_help(*arguments)


class OrderedMarksCommand(NamedHelpCommand):
    """A command that keeps the order in which ``--click`` and ``--similar`` alternate; `in_order` returns it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and note each option in the order given."""
        named = self.make_parser(ctx).parse_args(args=list(args))[2]
        ctx.meta[__name__] = [each.name for each in named if each.name in _MARKS]
        return super().parse_args(ctx, args)


def in_order(context: Any, **given: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the values of several repeatable options, each with its option's name, in the order given."""
    values = {name: iter(texts or ()) for name, texts in given.items()}
    return [(name, next(values[name])) for name in context.meta[__name__]]


def fill_names(text: str) -> str:
    """Replace each placeholder by the names that it stands for.

    >>> fill_names("{segmenters}.")[:24]
    'geocut, geonet, geodesic'
    """
    if "{" not in text:
        return text
    from ibisagent.agent.policies import POLICIES
    from ibisagent.agent.proposers import PROPOSERS as PROPOSER_TABLE
    from ibisagent.evals.evaluators import EVALUATORS as EVALUATOR_TABLE
    from ibisagent.tools.segmenters import SEGMENTERS as TABLE

    entries = POLICIES.entries
    takers = [entry.form for entry in TABLE.entries if "similar" in entry.prompts]
    text = text.replace(TAKE_EXAMPLES, ", ".join(takers))
    names = {
        SEGMENTERS: TABLE.forms,
        PROPOSERS: PROPOSER_TABLE.forms,
        WITHOUT_TRUTH: [_explained(entry) for entry in entries if not entry.needs_truth],
        AUTONOMOUS: [_explained(entry) for entry in entries if not entry.is_person],
        SERVED: [_explained(entry) for entry in entries if not (entry.is_person or entry.needs_truth)],
    }
    for placeholder, forms in names.items():
        text = text.replace(placeholder, f"{', '.join(forms)}, or package.module:Class of your own")
    own = f"{', '.join(EVALUATOR_TABLE.forms)}, or {EVALUATOR_TABLE.third_party} of your own"
    return text.replace(EVALUATORS, own)


def _explained(entry: Entry) -> str:
    """Return a name with what it is, where its form does not say so."""
    return entry.form if entry.needs_source else f"{entry.form} ({entry.description})"
