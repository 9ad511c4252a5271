"""A chat model that replies by a script: it stands in for yours, so that the examples run offline."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ibisagent.tools.errors import IbisError, InputError
from ibisagent.training.phantoms import draw


class ScriptedChatModel(BaseChatModel):
    """Replies by the number of its own messages in the conversation, so that a resumed run gets the next reply."""

    replies: list[AIMessage]

    def bind_tools(self, tools: Any, **options: Any) -> Any:  # noqa: ARG002
        """Accept any tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *rest: Any, **options: Any) -> ChatResult:  # noqa: ARG002
        turn = sum(isinstance(message, AIMessage) for message in messages)
        return ChatResult(generations=[ChatGeneration(message=self.replies[turn])])

    @property
    def _llm_type(self) -> str:
        return "scripted"


def run_example(main: Callable[..., None], *names: str) -> None:
    """Run an example with the command line's arguments, by their names; an error is one line and exit code 2."""
    try:
        if len(sys.argv) - 1 != len(names):
            takes = " ".join(names) or "without arguments"
            raise InputError(
                f"got {len(sys.argv) - 1} arguments, expected {len(names)}: {Path(sys.argv[0]).name} {takes}"
            )
        main(*sys.argv[1:])
    except IbisError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


def tool_calls(*calls: tuple[str, dict[str, Any]], words: str = "") -> AIMessage:
    """Return a message that calls tools, each by its name with its arguments."""
    made = [{"name": name, "args": args, "id": f"call_{number}"} for number, (name, args) in enumerate(calls, 1)]
    return AIMessage(words, tool_calls=made)


def scan(seed: int = 0) -> Any:
    """Draw a CT slice of no patient, (256, 256) uint8."""
    return draw("ct_abdomen", seed).image
