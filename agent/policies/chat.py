"""A policy over any LangChain chat model that sees pictures."""

import base64
import io
import time
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.agent.prompting import PromptSet, Said, load_prompts
from ibisagent.tools.errors import InputError, MissingExtra

__all__ = ["ChatPolicy", "chat_model", "image_block", "init_chat"]


class ChatPolicy:
    """Shows the overlay and the request to a chat model; in the history context the earlier turns as well."""

    def __init__(self, model: BaseChatModel, *, prompts: PromptSet | None = None, name: str | None = None) -> None:
        """Take a chat model and, in place of ours, the words that it expects."""
        self._model = model
        self._prompts = prompts or load_prompts()
        self.name = name or f"chat:{getattr(model, 'model_name', None) or type(model).__name__}"

    def act(self, observation: Observation) -> Completion:
        """Ask the model."""
        begun = time.perf_counter()
        return self._completion(self._model.invoke(self.messages(observation)), begun)

    async def aact(self, observation: Observation) -> Completion:
        """Ask the model through its own async client."""
        begun = time.perf_counter()
        return self._completion(await self._model.ainvoke(self.messages(observation)), begun)

    def messages(self, observation: Observation) -> list[BaseMessage]:
        """Write the conversation that the model is shown."""
        return [_message(said) for said in self._prompts.conversation(observation)]

    def _completion(self, message: AIMessage, begun: float) -> Completion:
        usage = {key: value for key, value in (message.usage_metadata or {}).items() if isinstance(value, int)}
        finish = str(message.response_metadata.get("finish_reason") or "stop")
        return Completion(str(message.text), finish, usage, time.perf_counter() - begun, self.name)


def _message(said: Said) -> BaseMessage:
    if said.role == "system":
        return SystemMessage(said.text)
    if said.role == "assistant":
        return AIMessage(said.text)
    content: list[str | dict[Any, Any]] = [image_block(said.picture)] if said.picture is not None else []
    return HumanMessage(content=[*content, {"type": "text", "text": said.text}] if said.text else content)


def image_block(picture: NDArray[Any]) -> dict[str, Any]:
    """Give a picture, (H, W, 3) uint8, as a standard LangChain image block (PNG)."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def init_chat(name: str, *, prompts: PromptSet | None = None) -> ChatPolicy:
    """Make a policy from ``provider:model``, as `langchain.chat_models.init_chat_model` understands it."""
    return ChatPolicy(chat_model(name), prompts=prompts, name=name)


def chat_model(name: str) -> BaseChatModel:
    """Make a LangChain chat model from ``provider:model``, at temperature 0."""
    try:
        from langchain.chat_models import init_chat_model
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langchain", "chat") from error
    try:
        made: BaseChatModel = init_chat_model(name, temperature=0)
    except ImportError as error:
        raise MissingExtra(f"policy {name!r}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # whatever a provider's client raises about keys and names
        raise InputError(f"policy {name!r}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return made
