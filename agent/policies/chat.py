"""A policy over any LangChain chat model that accepts images."""

import base64
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from numpy.typing import NDArray

from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.agent.policies.finish_reason import raise_for_refusal, read_finish_reason
from ibisagent.agent.policies.options import NUMBER_PAIR, PROFILE_NAME, PolicyOptions
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.privacy import is_loopback
from ibisagent.agent.prompting import Message, PromptSet, load_prompts
from ibisagent.tools.errors import InputError, MissingExtra, describe_error
from ibisagent.tools.imaging.png import encode_png
from ibisagent.tools.registry import parse_options

__all__ = [
    "CHAT_OPTIONS",
    "NO_RETRIES",
    "ChatPolicy",
    "Price",
    "build_chat_model",
    "image_block",
    "open_chat",
    "require_local_chat",
]

_MAX_CHARACTERS = 20_000  # of a reply that are kept
NO_RETRIES: dict[str, Any] = {"max_retries": 0, "timeout": 120.0}  # seconds; `Retries` makes further attempts
CHAT_OPTIONS = {"coordinates": PROFILE_NAME, "price": NUMBER_PAIR}
"""The options of `ChatPolicy` at the end of a policy's name: ``?coordinates=thousand&price=0.25,2``."""

_SAMPLING = ("temperature", "top_p", "top_k", "seed", "max_tokens")
"""Attributes of LangChain's chat models that the record keeps."""

# The address of LangChain's clients: the first of the variables that is set, else a default.
_ADDRESSES = {"openai": (("OPENAI_API_BASE", "OPENAI_BASE_URL"), ""), "ollama": (("OLLAMA_HOST",), "127.0.0.1")}


class Price(NamedTuple):
    """The price of a million tokens, in one currency."""

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
        smart_resize: SmartResize | None = None,
        options: Callable[[Observation], dict[str, Any]] | None = None,
    ) -> None:
        """Take a chat model, also one ``.with_fallbacks``, and the prompts that it expects, by default ours.

        ``coordinates``: how it writes them, by default as its family does (`model_profile`). A call with a transient
        error is repeated as ``retries`` say; with a `Price` every completion has its cost. ``smart_resize``: the sizes
        at which it sees pictures, for one that writes pixels (`Policy`). ``options``: further options of a call.
        """
        inner = _inner_model(model)
        model_name = _model_name(inner)
        self._model, self._options = model, options
        self._price = Price(*price) if price is not None else None
        self._prompts = prompts or load_prompts()
        self.actions = self._prompts.kinds
        self._retries = retries or Retries()
        known = {key: getattr(inner, key, None) for key in _SAMPLING}
        self.sampling = {key: value for key, value in known.items() if isinstance(value, int | float)} or None
        self.name = name or f"chat:{model_name}"
        self.coordinates, self.smart_resize = coordinates or model_profile(model_name), smart_resize

    def act(self, observation: Observation) -> Completion:
        """Ask the model."""
        begun, messages, options = time.perf_counter(), self.messages(observation), self._call_options(observation)
        return self._retries.call(lambda: self._completion(self._model.invoke(messages, **options), begun))

    async def aact(self, observation: Observation) -> Completion:
        """Ask the model through its own async client."""
        begun, messages, options = time.perf_counter(), self.messages(observation), self._call_options(observation)

        async def ask() -> Completion:
            return self._completion(await self._model.ainvoke(messages, **options), begun)

        return await self._retries.acall(ask)

    def messages(self, observation: Observation) -> list[BaseMessage]:
        """Write the conversation that the model is shown."""
        return [_to_langchain(message) for message in self._prompts.conversation(observation)]

    def _call_options(self, observation: Observation) -> dict[str, Any]:
        return self._options(observation) if self._options is not None else {}

    def _completion(self, message: AIMessage, begun: float) -> Completion:
        counts = {key: value for key, value in (message.usage_metadata or {}).items() if isinstance(value, int)}
        metadata = message.response_metadata
        finish, text = read_finish_reason(metadata), str(message.text)
        if not text and message.tool_calls:
            text = f"(a call of the tool {str(message.tool_calls[0]['name'])[:100]!r})"
        raise_for_refusal(message, text, finish)
        return Completion(
            text[:_MAX_CHARACTERS],
            "length" if len(text) > _MAX_CHARACTERS else finish,
            counts,
            time.perf_counter() - begun,
            str(metadata.get("model_name") or self.name),
            cost=self._cost(counts),
        )

    def _cost(self, counts: dict[str, int]) -> float | None:
        if self._price is None:
            return None
        read, written = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
        return (read * self._price.input + written * self._price.output) / 1e6


def _inner_model(model: Any) -> Any:
    """Return the chat model itself; of one with fallbacks, or bound to options, the first."""
    for _ in range(8):
        inner = getattr(model, "runnable", None) or getattr(model, "bound", None)
        if inner is None:
            break
        model = inner
    return model


def _model_name(model: Any) -> str:
    name = getattr(model, "model_name", None) or getattr(model, "model", None)
    return name if isinstance(name, str) else type(model).__name__


def _to_langchain(message: Message) -> BaseMessage:
    if message.role == "system":
        return SystemMessage(message.text)
    if message.role == "assistant":
        return AIMessage(message.text)
    content: list[str | dict[Any, Any]] = [image_block(message.picture)] if message.picture is not None else []
    return HumanMessage(content=[*content, {"type": "text", "text": message.text}] if message.text else content)


def image_block(picture: NDArray[Any]) -> dict[str, Any]:
    """Return a picture, (H, W, 3) uint8, as a standard LangChain image block (PNG)."""
    data = base64.b64encode(encode_png(picture, level=1)).decode("ascii")
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def open_chat(name: str, options: PolicyOptions) -> ChatPolicy:
    """Open a policy from ``provider:model``, as `langchain.chat_models.init_chat_model` understands it.

    ``local_only`` refuses all but a server on this machine: Ollama, and whatever OPENAI_BASE_URL names.
    """
    bare, own = parse_options("policy", name, CHAT_OPTIONS)
    if options.local_only:
        require_local_chat(bare, f"policy {name!r}: it may send the picture")
    return ChatPolicy(build_chat_model(bare, **NO_RETRIES), prompts=options.prompts, name=name, **own)


def require_local_chat(model: str, sends: str) -> None:
    """Raise `InputError` for ``provider:model`` on another machine; ``sends``: who may send what, for the message."""
    if not is_loopback(_address(model.partition(":")[0])):
        raise InputError(f"{sends} to another machine, which --local-only forbids")


def _address(provider: str) -> str:
    variables, usual = _ADDRESSES.get(provider, ((), ""))
    return next((os.environ[each] for each in variables if os.environ.get(each)), usual)


def build_chat_model(name: str, kind: str = "policy", **options: Any) -> BaseChatModel:
    """Make a LangChain chat model from ``provider:model``, at temperature 0 and with ``options`` of its class.

    ``kind``: what it is to be, for the message of an error.
    """
    try:
        from langchain.chat_models import init_chat_model
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langchain", "chat") from error
    try:
        made: BaseChatModel = init_chat_model(name, temperature=0, **options)
    except ImportError as error:
        raise MissingExtra(f"{kind} {name!r}: {describe_error(error)}") from error
    except Exception as error:  # whatever a provider's client raises about keys and names
        raise InputError(f"{kind} {name!r}: {describe_error(error)}") from error
    return made
