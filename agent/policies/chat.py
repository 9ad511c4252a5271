"""A policy over any LangChain chat model that sees pictures."""

import base64
import io
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.agent.policies.finish_reason import finish_of, refuse
from ibisagent.agent.policies.options import NUMBERS, PROFILE_NAME, split
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.privacy import is_loopback
from ibisagent.agent.prompting import PromptSet, Message, load_prompts
from ibisagent.tools.errors import InputError, MissingExtra

__all__ = ["ONE_TRY", "TOLD", "ChatPolicy", "Price", "chat_model", "image_block", "init_chat"]

_LONGEST = 20_000  # characters of a reply that are kept; what goes on longer is no reply
ONE_TRY: dict[str, Any] = {"max_retries": 0, "timeout": 120.0}  # seconds; `Retries` makes the others
TOLD = {"coordinates": PROFILE_NAME, "price": NUMBERS}
"""What `ChatPolicy` takes from the end of a name: ``?coordinates=thousand&price=0.25,2``."""

# Where a client of LangChain's sends its calls: the first of the variables that is set, else to an address of its own.
_ADDRESSES = {"openai": (("OPENAI_API_BASE", "OPENAI_BASE_URL"), ""), "ollama": (("OLLAMA_HOST",), "127.0.0.1")}


class Price(NamedTuple):
    """What a million tokens cost, in one currency."""

    input: float
    output: float


class ChatPolicy:
    """Shows the overlay and the request to a chat model; in the history context the earlier turns as well."""

    def __init__(
        self,
        model: Runnable[LanguageModelInput, Any],
        *,
        prompts: PromptSet | None = None,
        name: str | None = None,
        coordinates: str | None = None,
        retries: Retries | None = None,
        price: tuple[float, float] | None = None,
        resizing: SmartResize | None = None,
        options: Callable[[Observation], dict[str, Any]] | None = None,
    ) -> None:
        """Take a chat model, one ``.with_fallbacks`` too, and, in place of ours, the words that it expects.

        ``coordinates``: how it writes them, by default as its family does (`profile_of`). A call that fails for the
        server's sake is made again as ``retries`` say; with a `Price` every completion tells its cost. ``resizing``:
        the sizes at which it sees pictures, where that matters (`Policy`). ``options`` gives what each call passes on
        to the model.
        """
        told = _named(model)
        self._model, self._options = model, options
        self._price = Price(*price) if price is not None else None
        self._prompts = prompts or load_prompts()
        self.actions = self._prompts.kinds
        self._retries = retries or Retries()
        self.name = name or f"chat:{told}"
        self.coordinates, self.resizing = coordinates or model_profile(told), resizing

    def act(self, observation: Observation) -> Completion:
        """Ask the model."""
        begun, messages, options = time.perf_counter(), self.messages(observation), self._told(observation)
        return self._retries.call(lambda: self._completion(self._model.invoke(messages, **options), begun))

    async def aact(self, observation: Observation) -> Completion:
        """Ask the model through its own async client."""
        begun, messages, options = time.perf_counter(), self.messages(observation), self._told(observation)

        async def ask() -> Completion:
            return self._completion(await self._model.ainvoke(messages, **options), begun)

        return await self._retries.await_call(ask)

    def messages(self, observation: Observation) -> list[BaseMessage]:
        """Write the conversation that the model is shown."""
        return [_message(said) for said in self._prompts.conversation(observation)]

    def _told(self, observation: Observation) -> dict[str, Any]:
        return self._options(observation) if self._options is not None else {}

    def _completion(self, message: AIMessage, begun: float) -> Completion:
        counts = {key: value for key, value in (message.usage_metadata or {}).items() if isinstance(value, int)}
        told = message.response_metadata
        finish, text = finish_of(told), str(message.text)
        if not text and message.tool_calls:
            text = f"(a call of the tool {str(message.tool_calls[0]['name'])[:100]!r})"
        refuse(message, text, finish)
        return Completion(
            text[:_LONGEST],
            "length" if len(text) > _LONGEST else finish,
            counts,
            time.perf_counter() - begun,
            str(told.get("model_name") or self.name),
            cost=self._cost(counts),
        )

    def _cost(self, counts: dict[str, int]) -> float | None:
        if self._price is None:
            return None
        read, written = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
        return (read * self._price.input + written * self._price.output) / 1e6


def _named(model: Any) -> str:
    """Name the model; of one with fallbacks, or bound to options, the first."""
    for _ in range(8):
        inner = getattr(model, "runnable", None) or getattr(model, "bound", None)
        if inner is None:
            break
        model = inner
    told = getattr(model, "model_name", None) or getattr(model, "model", None)
    return told if isinstance(told, str) else type(model).__name__


def _message(said: Message) -> BaseMessage:
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


def init_chat(name: str, *, prompts: PromptSet | None = None, local_only: bool = False) -> ChatPolicy:
    """Make a policy from ``provider:model``, as `langchain.chat_models.init_chat_model` understands it.

    ``local_only`` refuses all but a server on this machine: Ollama, and whatever OPENAI_BASE_URL names.
    """
    bare, told = split(name, TOLD)
    if local_only and not is_loopback(_address(bare.partition(":")[0])):
        raise InputError(f"policy {name!r}: it may send the picture to another machine, which --local-only forbids")
    return ChatPolicy(chat_model(bare, **ONE_TRY), prompts=prompts, name=name, **told)


def _address(provider: str) -> str:
    variables, usual = _ADDRESSES.get(provider, ((), ""))
    return next((os.environ[each] for each in variables if os.environ.get(each)), usual)


def chat_model(name: str, **options: Any) -> BaseChatModel:
    """Make a LangChain chat model from ``provider:model``, at temperature 0 and with ``options`` of its class."""
    try:
        from langchain.chat_models import init_chat_model
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langchain", "chat") from error
    try:
        made: BaseChatModel = init_chat_model(name, temperature=0, **options)
    except ImportError as error:
        raise MissingExtra(f"policy {name!r}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # whatever a provider's client raises about keys and names
        raise InputError(f"policy {name!r}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return made
