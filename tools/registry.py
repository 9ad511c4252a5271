"""Names of policies and segmenters: a table of what ships, and ``package.module:Class`` for a third party's class.

A name is an entry's own (``geocut``) or its prefix with a source (``hf:FOLDER``); options may follow it
(``hf:FOLDER?dtype=bf16``). `Table.find` looks names up and imports nothing: it is what a name out of a record, a
manifest, a message or a page goes through. A dotted name runs code: `Table.import_class` is for what the operator gave,
on the command line, in Python or at a server's start.

A third party's class is instantiated with those arguments of the caller's that its ``__init__`` names, and with the
options after the question mark as text. Its module is one that is installed or lies in the current folder.
"""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from ibisagent.tools.errors import IbisError, InputError, MissingExtra, describe_error

__all__ = ["Entry", "OptionReader", "Table", "constructor_arguments", "instantiate", "parse_options", "split_options"]

OptionReader = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name opens.

    ``form``: how the name is written, ``nano`` or ``hf:FOLDER_OR_ID``. ``factory``: ``module:function`` or
    ``module:Class``, imported when it is used. ``description``: one line. ``extra``: what brings ``modules``, without
    which it does not open. ``is_local``: no picture leaves this machine through it, whatever its source.
    """

    form: str
    factory: str
    description: str
    extra: str | None = None
    modules: tuple[str, ...] = ()
    is_local: bool = True

    @property
    def prefix(self) -> str:
        """The name up to its colon."""
        return self.form.partition(":")[0]

    @property
    def needs_source(self) -> bool:
        """Whether a source stands after the prefix: a file, a folder, an id or an address."""
        return ":" in self.form

    def matches(self, name: str) -> bool:
        """Whether ``name`` is this entry's."""
        return name.startswith(f"{self.prefix}:") if self.needs_source else name == self.form

    def load_factory(self) -> Any:
        """Import the factory; `MissingExtra` names what to install for it."""
        if self.extra is not None:
            MissingExtra.require(self.extra, *self.modules)
        module, _, attribute = self.factory.partition(":")
        return getattr(import_module(module), attribute)


EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True, slots=True)
class Table(Generic[EntryT]):
    """All entries of a kind; ``kind``: "policy" or "segmenter"; ``methods``: those that a class of a third party needs.

    ``remedy``: for a class that lacks one of them; ``third_party``: the form of a third party's name.
    """

    kind: str
    entries: tuple[EntryT, ...]
    methods: tuple[str, ...]
    remedy: str
    third_party: str = "package.module:Class"

    @property
    def forms(self) -> tuple[str, ...]:
        """How the name of each entry is written."""
        return tuple(entry.form for entry in self.entries)

    def find(self, name: str) -> EntryT:
        """Return the entry of a name; `InputError` for any other name, a dotted one included. Nothing is imported."""
        for entry in self.entries:
            if entry.matches(name):
                return entry
        if is_dotted(name):
            got = f"got {name[:80]!r}, which names code; expected one of {', '.join(self.forms)}"
            raise InputError(f"{got}; name it yourself, as in --{self.kind} {split_options(name)[0][:80]}")
        raise InputError(f"{self.kind} {name!r}: expected {self._expected}")

    def is_third_party(self, name: str) -> bool:
        """Whether ``name`` is the dotted name of a class, and no entry's."""
        return is_dotted(name) and not any(entry.matches(name) for entry in self.entries)

    def import_class(self, name: str) -> type[Any]:
        """Import the class of a dotted name; `InputError` for a wrong one. Only for names that the operator gave."""
        found = self._import_attribute(name)
        if not isinstance(found, type):
            got = f"got no class {self._attribute(name)!r} in that module"
            raise InputError(f"{self.kind} {name!r}: {got}; correct the name")
        missing = [method for method in self.methods if not callable(getattr(found, method, None))]
        if missing:
            raise InputError(f"{self.kind} {name!r}: got a class without {', '.join(missing)}; {self.remedy}")
        return found

    def import_function(self, name: str) -> Callable[..., Any]:
        """Import the function of a dotted name, as `import_class` does a class."""
        found = self._import_attribute(name)
        if isinstance(found, type) or not callable(found):
            got = f"got no function {self._attribute(name)!r} in that module"
            raise InputError(f"{self.kind} {name!r}: {got}; correct the name, or {self.remedy}")
        return found  # type: ignore[no-any-return]

    @staticmethod
    def _attribute(name: str) -> str:
        return split_options(name)[0].partition(":")[2]

    def _import_attribute(self, name: str) -> Any:
        module_name = split_options(name)[0].partition(":")[0]
        try:
            _look_in_current_folder(module_name)
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and f"{module_name}.".startswith(f"{error.name}."):
                got = f"got no module {error.name!r}, installed or in the current folder"
                raise InputError(f"{self.kind} {name!r}: {got}; expected {self._expected}") from error
            raise self._import_error(name, error) from error
        except (Exception, SystemExit) as error:
            raise self._import_error(name, error) from error
        return getattr(module, self._attribute(name), None)

    @property
    def _expected(self) -> str:
        return f"one of {', '.join(self.forms)}, or {self.third_party} of your own"

    def _import_error(self, name: str, error: BaseException) -> InputError:
        return InputError(f"{self.kind} {name!r}: its module cannot be imported ({describe_error(error)}); correct it")


def is_dotted(name: str) -> bool:
    """Whether a name has the form ``package.module:Class``, with or without options.

    >>> is_dotted("mine.policies:Spiral?turns=3"), is_dotted("hf:owner/model")
    (True, False)
    """
    module, _, class_name = split_options(name)[0].partition(":")
    return all(part.isidentifier() for part in (*module.split("."), class_name))


def constructor_arguments(cls: type[Any]) -> dict[str, bool]:
    """Return the arguments that a class takes by name, and whether each is required."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    with suppress(ValueError, TypeError):  # from a class in C
        parameters = inspect.signature(cls).parameters.values()
        return {each.name: each.default is each.empty for each in parameters if each.kind in by_name}
    return {}


def instantiate(kind: str, name: str, cls: type[Any], given: Mapping[str, Any]) -> Any:
    """Instantiate a class with those of ``given`` that it takes, and the options of its name; `InputError` if it fails.

    An error of the package's own is raised as it is.
    """
    takes, texts = constructor_arguments(cls), dict(split_options(name)[1])
    own = [argument for argument in takes if argument not in given]
    if unknown := [key for key in texts if key not in own]:
        raise InputError(
            f"{kind} {name!r}: got the option {unknown[0]!r}, expected {', '.join(own) or 'none'}; correct it"
        )
    if lacking := [key for key in own if takes[key] and key not in texts]:
        raise InputError(f"{kind} {name!r}: it needs the option {lacking[0]!r}; add ?{lacking[0]}=VALUE")
    try:
        return cls(**{key: value for key, value in given.items() if key in takes}, **texts)
    except IbisError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{kind} {name!r}: it cannot be made ({describe_error(error)}); correct it") from error


def split_options(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a name from its options, as keys and values; a question mark with no ``=`` after it belongs to the name.

    >>> split_options("hf:folder?longest=64")
    ('hf:folder', [('longest', '64')])
    >>> split_options("sam2:what?.pt")
    ('sam2:what?.pt', [])
    """
    bare, asked, text = name.rpartition("?")
    if not asked or "=" not in text:
        return name, []
    pairs = (part.partition("=") for part in text.split("&") if part)
    return bare, [(key, value) for key, _, value in pairs]


def parse_options(kind: str, name: str, readers: Mapping[str, tuple[str, OptionReader]]) -> tuple[str, dict[str, Any]]:
    """Split a name into its base and its options; ``readers``: by option, its form in words and its parser.

    >>> parse_options("policy", "hf:folder?max_tokens=64", {"max_tokens": ("N", int)})
    ('hf:folder', {'max_tokens': 64})
    """
    bare, options = split_options(name)
    values: dict[str, Any] = {}
    for key, value in options:
        try:
            values[key] = readers[key][1](value)
        except (LookupError, ValueError, RuntimeError) as error:
            known = ", ".join(f"{key}={words}" for key, (words, _) in readers.items())
            raise InputError(f"{kind} {name!r}: got the option {key}={value!r}, expected {known}") from error
    return bare, values


def _look_in_current_folder(module: str) -> None:
    """Add the current folder to the module path, behind all that is installed, if the module is found only there.

    A command's own path lacks it. Who names code in a folder trusts that folder; for any other name it is left out, as
    libraries would import their optional modules from it.
    """
    top = module.partition(".")[0]
    with suppress(OSError, ValueError):
        here = os.getcwd()
        if top not in sys.modules and find_spec(top) is None and PathFinder.find_spec(top, [here]) is not None:
            sys.path.append(here)
