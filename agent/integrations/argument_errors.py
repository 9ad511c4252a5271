"""One-line error messages for the arguments of a tool call: what was given, what is expected, what to do."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool
from pydantic import ValidationError

from ibisagent.tools.suggestions import describe_unknown_name

__all__ = ["describe_unknown_arguments", "describe_validation_error", "reject_unknown_arguments"]

_MAX_CHARACTERS = 60  # characters of a value
_REMEDY = "correct it and call again"


def describe_validation_error(error: ValidationError, properties: Mapping[str, Any]) -> str:
    """Return a line that names the arguments that do not fit ``properties``: the JSON schema of each, by its name.

    What is expected is each one's ``description``, which has to read well after the word "expected".
    """
    first: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_context=False):
        first.setdefault(*_describe_error(fault, properties))
    return _join_errors(first.values())


def describe_unknown_arguments(arguments: Iterable[str], properties: Mapping[str, Any]) -> str | None:
    """Return a line that names the arguments that are not in ``properties``; None if there are none."""
    wrong = [describe_unknown_name(name, properties) for name in arguments if name not in properties]
    return _join_errors(wrong) if wrong else None


def reject_unknown_arguments(tool: BaseTool) -> BaseTool:
    """Make a LangChain tool refuse unknown arguments, and report wrong ones by `describe_validation_error`."""
    schema: Any = tool.args_schema
    kept = {"model_config": {"extra": "forbid"}, "__module__": schema.__module__}
    tool.args_schema = type(schema.__name__, (schema,), kept)
    described: Any = tool.tool_call_schema
    properties = described.model_json_schema()["properties"]
    tool.handle_validation_error = lambda error: (
        f"Error: {describe_validation_error(cast(ValidationError, error), properties)}."
    )
    return tool


def _describe_error(fault: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[str, str]:
    """Return a wrong argument's name, and its error."""
    name, *inside = fault["loc"] or ("arguments",)
    if fault["type"] == "extra_forbidden":
        return str(name), describe_unknown_name(name, properties)
    got = "nothing" if fault["type"] == "missing" else _format_value(fault["input"])
    place = "".join(f"[{part}]" for part in inside if isinstance(part, int))
    return str(name), f"{name}{place}: got {got}, expected {_expected_value(properties.get(str(name), {}))}"


def _join_errors(faults: Iterable[str]) -> str:
    return "; ".join([*faults, _REMEDY])


def _expected_value(schema: Mapping[str, Any]) -> str:
    described = [each["description"] for each in (schema, *schema.get("anyOf", ())) if "description" in each]
    words = described[0].rstrip(".") if described else "another value"
    return words[0].lower() + words[1:] if words[1:2] == " " or words[1:2].islower() else words


def _format_value(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}... ({len(text):,} characters)"
