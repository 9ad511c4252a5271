"""The names that a training teaches: they join the list of targets in the folder of the model that it writes."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ibisagent.agent.policies.abstention import parse_request
from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.masks.rle import area
from ibisagent.training.requests import read_target_name

__all__ = ["LEAST_PICTURES", "extend_target_list", "find_taught_names"]

LEAST_PICTURES = 20
"""Pictures that have to show a target before its name counts as taught."""

_HEADER = re.compile(r"^(\[\w+\]\s*?\n)", re.MULTILINE)
_TAIL = re.compile(r"^(?:[ \t]*(?:#[^\n]*)?\n)*\Z", re.MULTILINE)


def find_taught_names(records: Iterable[Trajectory], known: KnownTargets) -> dict[str, tuple[str, ...]]:
    """Return the names that records teach beyond those that are known, each with the synonyms that they use for it.

    A name is taught by `LEAST_PICTURES` different pictures in which its target is; one that is only ever absent is not.
    New is what the policy would decline or ask for by another name. A new synonym of a learned target is a name of its
    own, as the model was asked by it.
    """
    learned = {target for target, _ in known.learned}
    pictures, synonyms = defaultdict[str, set[object]](set), defaultdict[str, set[str]](set)
    for record in records:
        named = read_target_name(record.request) if record.truth is not None and area(record.truth) else None
        if named is None or not _is_new(record.request, named[1], known):
            continue
        target, name = named
        key = name if target in learned else target
        pictures[key].add(record.image["sha"])
        synonyms[key] |= {name} - {key}
    return {key: tuple(sorted(synonyms[key])) for key in sorted(pictures) if len(pictures[key]) >= LEAST_PICTURES}


def _is_new(request: str, name: str, known: KnownTargets) -> bool:
    """Whether the policy declines the name in a request, or replaces it by another."""
    parsed = parse_request(request, known)
    mentions = [parsed.unknown] if parsed.unknown else [each for each in parsed.known if each.canonical_name]
    return any(" ".join(request[each.start : each.end].lower().split()) == name for each in mentions)


def extend_target_list(text: str, taught: Mapping[str, Sequence[str]]) -> str:
    """Return a model's list of targets, a TOML file, with taught names at the end of ``learned``.

    They leave ``unknown``; all else, comments included, stays as it is.

    >>> extend_target_list("[learned]\\nliver = []\\n", {"hippocampus": ["seahorse"]})
    '[learned]\\nliver = []\\n"hippocampus" = ["seahorse"]\\n'
    """
    parts = _HEADER.split(text)  # what stands before, then name and body of each section
    for at in range(1, len(parts), 2):
        if "learned" in parts[at]:
            parts[at + 1] = _insert_entries(parts[at + 1], taught)
        elif "unknown" in parts[at]:
            parts[at + 1] = _remove_words(parts[at + 1], taught)
    return "".join(parts)


def _insert_entries(body: str, taught: Mapping[str, Sequence[str]]) -> str:
    """Insert entries before the blank lines and comments that lead to the next section."""
    lines = "".join(f"{_quote(name)} = [{', '.join(map(_quote, others))}]\n" for name, others in taught.items())
    tail = _TAIL.search(body)
    own, rest = (body[: tail.start()], body[tail.start() :]) if tail else (body, "")
    return (own if not own or own.endswith("\n") else own + "\n") + lines + rest


def _remove_words(body: str, taught: Mapping[str, Sequence[str]]) -> str:
    for name in (each for key, others in taught.items() for each in (key, *others)):
        body = re.sub(rf"{re.escape(_quote(name))}\s*,?\s*", "", body, flags=re.IGNORECASE)
    return body


def _quote(name: str) -> str:
    """Return a TOML string, whose escapes are those of JSON."""
    return json.dumps(name, ensure_ascii=False)
