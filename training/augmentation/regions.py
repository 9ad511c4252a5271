"""Which part of the body a picture shows, and so which targets cannot be seen in it."""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file
from ibisagent.tools.suggestions import describe_unknown_name
from ibisagent.training.requests.same_targets import canonical_target

__all__ = ["BodyRegions", "RegionsTable", "build_regions", "read_regions_table"]

RegionsTable = dict[str, Any]
"""The content of a regions file; see ``regions.toml`` beside this module."""

_LISTS = ("flip_modalities", "flip_regions")
_TABLES = ("modalities", "families", "sources")
_REGION = ("modalities", "targets", "also", "shows")


@dataclass(frozen=True, slots=True)
class BodyRegion:
    """A part of the body: the ``modalities`` that show it, the ``targets`` that tell it, all that can be ``seen``."""

    modalities: frozenset[str]
    targets: frozenset[str]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True)
class BodyRegions:
    """The regions by name, and the words for modalities and sources; targets are canonical names."""

    regions: Mapping[str, BodyRegion]
    modalities: Mapping[str, str]
    families: Mapping[str, frozenset[str]]
    sources: Mapping[str, frozenset[str]]
    flip_modalities: frozenset[str]
    flip_regions: frozenset[str]

    def find_shown(self, cases: Iterable[Case]) -> frozenset[str]:
        """Return every region that a picture with these cases may show; none where nothing tells."""
        return frozenset().union(*(self._find_shown_by(case) for case in cases))

    def _find_shown_by(self, case: Case) -> frozenset[str]:
        """Return the source's regions, else those of the target that the modality shows, else all that it shows."""
        if case.source in self.sources:
            return self.sources[case.source]
        target, modality = canonical_target(case.target), self.name_modality(case.modality)
        told = self._names(lambda region: target in region.targets)
        seen = self._names(lambda region: target in region.seen)
        imaged = self._names(lambda region: modality in region.modalities)
        return told & imaged or seen & imaged or told or seen or imaged

    def _names(self, is_one: Any) -> frozenset[str]:
        return frozenset(name for name, region in self.regions.items() if is_one(region))

    def find_visible(self, shown: Iterable[str]) -> frozenset[str]:
        """Return the targets that can be seen in pictures of these regions."""
        return frozenset().union(*(self.regions[name].seen for name in shown))

    def has_region(self, target: str) -> bool:
        """Whether some region is told by a target."""
        return any(target in region.targets for region in self.regions.values())

    def is_near(self, target: str, modality: str) -> bool:
        """Whether a target is seen in pictures of the modality, or of one that is like it, of other regions."""
        like = self.families.get(self.name_modality(modality), frozenset())
        return any(target in region.targets and region.modalities & like for region in self.regions.values())

    def may_flip(self, modality: str, shown: frozenset[str]) -> bool:
        """Whether left and right can be exchanged in a picture of these regions."""
        name = self.name_modality(modality)
        if name in self.flip_modalities:
            return True
        scanned = all(name in self.regions[region].modalities for region in shown)
        return bool(shown) and shown <= self.flip_regions and scanned

    def name_modality(self, text: str) -> str:
        """Return our name of a modality, or the text where we have none."""
        plain = _plain(text)
        return self.modalities.get(plain, plain)


def read_regions_table(path: str | os.PathLike[str] | None = None) -> RegionsTable:
    """Read the regions that ship, and add those of a file, list by list; `InputError` for one that is not as ours."""
    table = tomllib.loads(files("ibisagent.training.augmentation").joinpath("regions.toml").read_text("utf-8"))
    if path is None:
        return table
    require_file(Path(path))
    name = printable_text(path)
    try:
        own = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{name}: got no readable TOML file ({reason}), expected one; correct it") from error
    for fault in _list_faults(own, table):
        raise InputError(f"{name}: {fault}; correct it")
    return _add(table, own)


def _list_faults(own: RegionsTable, table: RegionsTable) -> Iterator[str]:
    for key, value in own.items():
        if key not in table:
            yield describe_unknown_name(key, table)
        elif key in _LISTS:
            yield from _list_type_faults(key, value)
        elif not isinstance(value, dict):
            yield f"got {key}={printable_text(value)}, expected a table"
        elif key == "regions":
            for name, region in value.items():
                yield from _list_region_faults(name, region)
        else:
            for name, some in value.items():
                yield from _list_type_faults(f"{key} {printable_text(name)}", some)
    known = {*table["regions"], *(own["regions"] if isinstance(own.get("regions"), dict) else ())}
    for where, names in _list_named_regions(own):
        for name in names:
            if name not in known:
                yield f"{where}: {describe_unknown_name(name, sorted(known))}"


def _list_region_faults(name: str, region: Any) -> Iterator[str]:
    if not isinstance(region, dict):
        yield f"got regions {printable_text(name)}={printable_text(region)}, expected a table"
        return
    for key, value in region.items():
        if key not in _REGION:
            yield f"regions {printable_text(name)}: {describe_unknown_name(key, _REGION)}"
        yield from _list_type_faults(f"regions {printable_text(name)} {key}", value)


def _list_type_faults(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        yield f"got {where}={printable_text(value)}, expected a list of names"


def _list_named_regions(own: RegionsTable) -> Iterator[tuple[str, Sequence[str]]]:
    yield "flip_regions", own.get("flip_regions", ())
    for name, regions in own.get("sources", {}).items():
        yield f"sources {printable_text(name)}", regions
    for name, region in own.get("regions", {}).items():
        yield f"regions {printable_text(name)} shows", region.get("shows", ())


def _add(table: RegionsTable, own: RegionsTable) -> RegionsTable:
    """Return both tables as one: lists are joined, tables merged."""
    joined = dict(table)
    for key, value in own.items():
        before = table.get(key)
        if isinstance(before, dict):
            joined[key] = _add(before, value)
        else:
            joined[key] = [*(before or []), *value] if isinstance(value, list) else value
    return joined


def build_regions(table: RegionsTable) -> BodyRegions:
    """Build the regions of a table that `read_regions_table` read."""
    modalities = {_plain(text): name for name, others in table["modalities"].items() for text in (name, *others)}

    def name_all(texts: Iterable[str]) -> frozenset[str]:
        return frozenset(modalities.get(_plain(text), _plain(text)) for text in texts)

    def list_targets(region: str, *keys: str) -> frozenset[str]:
        return frozenset(canonical_target(name) for key in keys for name in table["regions"][region].get(key, ()))

    families = [name_all(members) for members in table["families"].values()]
    imaged = {name: name_all(region.get("modalities", ())) for name, region in table["regions"].items()}
    known = {*modalities.values()}.union(*families, *imaged.values())
    return BodyRegions(
        regions={
            name: BodyRegion(
                imaged[name],
                list_targets(name, "targets"),
                list_targets(name, "targets", "also").union(
                    *(list_targets(other, "targets") for other in region.get("shows", ()))
                ),
            )
            for name, region in table["regions"].items()
        },
        modalities=modalities,
        families={name: frozenset({name}).union(*(family for family in families if name in family)) for name in known},
        sources={name: frozenset(regions) for name, regions in table["sources"].items()},
        flip_modalities=name_all(table["flip_modalities"]),
        flip_regions=frozenset(table["flip_regions"]),
    )


def _plain(text: str) -> str:
    """Write a modality in small letters, its words apart.

    >>> _plain("X-Ray"), _plain("chest_xray")
    ('x ray', 'chest xray')
    """
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
