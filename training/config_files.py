"""The TOML files that describe a training: one that ships, by its name, or the user's own, with single overrides."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.suggestions import describe_unknown_name

__all__ = ["ConfigFile", "build_settings", "list_shipped_configs", "read_config_file"]

_Settings = TypeVar("_Settings")
_SHIPPED = Path(str(files("ibisagent.training") / "configs"))
_MAX_LISTED = 20  # names of settings that an error lists


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A training file that was read: its ``name`` for errors, its ``folder``, from which its paths count, its keys."""

    name: str
    folder: Path
    table: dict[str, Any]

    def refuse(self, reason: str) -> InputError:
        """Return the error for a file whose settings do not fit together."""
        return InputError(f"{self.name}: {reason}")


def list_shipped_configs(kind: str) -> list[str]:
    """List the training files of a kind of training, such as ``sft``, that ship."""
    return sorted(path.stem for path in (_SHIPPED / kind).glob("*.toml") if not path.stem.endswith("-profile"))


def read_config_file(
    kind: str, source: str | os.PathLike[str], types: Mapping[str, type], changes: Sequence[str] = ()
) -> ConfigFile:
    """Read a training file, or one of its ``kind`` that ships by its name; ``types``: of the keys that it may have.

    ``changes``: settings in place of the file's, each ``key=value`` or ``table.key=value`` with a value as in TOML.
    `InputError` names what is wrong with it.
    """
    shipped = list_shipped_configs(kind)
    path = _SHIPPED / kind / f"{source}.toml" if str(source) in shipped else Path(source)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        remedy = f"check the path and its syntax, or name one that ships: {', '.join(shipped)}"
        raise InputError(f"{printable_text(path)}: not a readable TOML file ({reason}); {remedy}") from error
    for change in changes:
        _apply_change(table, change)
    file = ConfigFile(printable_text(path), path.parent, table)
    for key, value in table.items():
        if key not in types:
            raise file.refuse(f"{describe_unknown_name(key, sorted(types))}; correct it")
        if type(value) is not types[key]:
            raise file.refuse(f"got {key}={value!r}, expected {types[key].__name__}; correct it")
    return file


def _apply_change(table: dict[str, Any], change: str) -> None:
    name, _, text = change.partition("=")
    *parents, key = name.strip().split(".")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        for parent in parents:
            table = table.setdefault(parent, {})
        table[key] = value
    except (ValueError, AttributeError, TypeError) as error:
        expected = "expected key=value or table.key=value with a value as in TOML, words in quotes"
        raise InputError(f"--set {printable_text(change)}: {expected}, such as train.max_steps=100") from error


def build_settings(kind: type[_Settings], table: Mapping[str, Any], name: str, **defaults: Any) -> _Settings:
    """Build a dataclass of settings from a table of the file, which overrides ``defaults``.

    `InputError` for keys and values that do not fit.
    """
    known = {each.name: each.default for each in fields(kind) if each.init}  # type: ignore[arg-type]
    summary = f"a setting of {kind.__name__}" if len(known) > _MAX_LISTED else None
    for key, value in table.items():
        if key not in known:
            raise InputError(f"[{name}]: {describe_unknown_name(key, known, summary)}; correct it")
        default = known[key]
        if default is not MISSING and isinstance(default, int | float) and not isinstance(value, int | float):
            raise InputError(f"[{name}]: got {key}={value!r}, expected a number or true or false; correct it")
    try:
        return kind(**defaults | dict(table))
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"[{name}]: got settings that {kind.__name__} refuses ({reason}); correct them") from error
