"""The words of the paper's released weights, read out of a user's copy of their repository; nothing of it is run."""

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from ibisagent.agent.actions import OPTIONAL
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error, printable_text

__all__ = ["import_prompts", "write_imported_prompts"]

LOOP_FILE, MODEL_FILE = "multi_turn.py", "mllm_engine.py"
_MAX_BYTES = 1 << 18
_HEADER = f"""\
# The words of the official IBISAgent repository: `system` and `first` as its {LOOP_FILE} sends them, `refine` as its
# {MODEL_FILE} does. The rest is ibisagent's own. For `--prompts`, beside `--preset ibis`.
"""


def write_imported_prompts(folder: Path, out: Path) -> str:
    """Write the prompt file of ``folder``, a copy of the official repository, to ``out``; return its first message.

    `InputError` where a sentence is not found, or where ``out`` is there with other content.
    """
    text = import_prompts(folder)
    if out.is_file() and out.read_bytes() != text.encode():
        raise InputError(f"{printable_text(out)}: got another file of this name, expected none; choose another --out")
    with atomic_write(out) as temporary:
        temporary.write_bytes(text.encode())
    return str(tomllib.loads(text)["first"])


def import_prompts(folder: Path) -> str:
    """Return a prompt file (TOML) with the sentences that the official inference sends.

    They are found by their shape in the syntax trees of two files, in ``folder`` or its ``infer``: an assigned string
    with the reply's tags; an f-string of a tag and the request, or of more words with <image> (without one the request
    is sent as it is); an f-string that holds a parameter of its function and
    names the stop. Raises `InputError`, naming the file and what was looked for.
    """
    loop, model = _parse(_find(folder, LOOP_FILE)), _parse(_find(folder, MODEL_FILE))
    system = _only(_tagged_constants(loop), LOOP_FILE, "an assigned string that holds <think> and <action>")
    firsts = set(_wrapped_requests(loop)) or {"${request}"}
    first = _only(firsts, LOOP_FILE, "an f-string of a tag and the request, or with <image>")
    refine = _only(_refinements(model), MODEL_FILE, "an f-string with a parameter of its function that names Terminate")
    default = tomllib.loads(files("ibisagent.agent").joinpath("prompts/default.toml").read_text(encoding="utf-8"))
    actions = {kind: text for kind, text in default["actions"].items() if kind not in OPTIONAL}
    words = {"system": system, "first": first, "refine": refine, "question": first}
    words |= {key: default[key] for key in ("undone", "feedback")}
    tables = {"actions": actions, "coordinates": default["coordinates"]}
    lines = [_HEADER, *_rows(words)]
    for name, table in tables.items():
        lines += [f"\n[{name}]", *_rows(table)]
    return "\n".join(lines) + "\n"


def _find(folder: Path, name: str) -> Path:
    for path in (folder / "infer" / name, folder / name):
        if path.is_file():
            return path
    remedy = "give the folder of your copy of the official IBISAgent repository"
    raise InputError(f"{printable_text(folder)}: got no infer/{name} in it, expected that file; {remedy}")


def _parse(path: Path) -> ast.Module:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{printable_text(path)}: could not be read ({describe_os_error(error)})") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{printable_text(path)}: got over {_MAX_BYTES >> 10} KiB, expected the official file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its escapes, which are not ours to judge
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        what = f"got no Python source ({reason}), expected the official file"
        raise InputError(f"{printable_text(path)}: {what}") from error


def _only(found: Iterable[str], name: str, wanted: str) -> str:
    distinct = sorted(set(found))
    if len(distinct) != 1:
        raise InputError(f"{name}: got {len(distinct) or 'none'} of what was looked for, {wanted}; expected one")
    if any("\ud800" <= letter <= "\udfff" for letter in distinct[0]):
        raise InputError(f"{name}: got half a character in its text, expected {wanted}")
    return distinct[0]


def _tagged_constants(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(value=ast.Constant(value=str(text))) | ast.AnnAssign(value=ast.Constant(value=str(text))):
                if "<think>" in text and "<action>" in text:
                    yield _escaped(text)


def _wrapped_requests(tree: ast.Module) -> Iterator[str]:
    """Yield the templates of f-strings of a tag and one field, and of those with the tag of a picture."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and re.fullmatch(r"\s*<\w+>\s*|.*<image>.*", _constants(node), re.S):
            yield _template(node, LOOP_FILE)


def _refinements(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            given = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
            for node in ast.walk(function):
                if isinstance(node, ast.JoinedStr) and "terminate" in _constants(node).lower():
                    names = {field.value.id for field in _fields(node) if isinstance(field.value, ast.Name)}
                    if names & given:
                        yield _template(node, MODEL_FILE)


def _fields(node: ast.JoinedStr) -> list[ast.FormattedValue]:
    return [part for part in node.values if isinstance(part, ast.FormattedValue)]


def _constants(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def _template(node: ast.JoinedStr, name: str) -> str:
    """Return an f-string as a template whose one field, however often it occurs, is the request."""
    fields = _fields(node)
    distinct = {ast.unparse(field.value) for field in fields}
    if len(distinct) != 1 or any(field.conversion != -1 or field.format_spec for field in fields):
        where = f"{name}, line {node.lineno}"
        raise InputError(f"{where}: got an f-string of {len(distinct)} formatted fields, expected the request alone")
    parts = (_escaped(str(part.value)) if isinstance(part, ast.Constant) else "${request}" for part in node.values)
    return "".join(parts)


def _escaped(text: str) -> str:
    return text.replace("$", "$$")


def _rows(table: dict[str, str]) -> list[str]:
    """Write TOML's basic strings: JSON's, with DEL escaped as well."""
    quoted = {key: json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f") for key, text in table.items()}
    return [f"{key} = {text}" for key, text in quoted.items()]
