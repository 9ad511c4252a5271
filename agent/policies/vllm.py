"""A policy over a vLLM server, or any other that speaks OpenAI's chat completions.

``vllm:http://HOST:PORT/v1#MODEL``, with options at its end: ``?grammar=1`` holds the model to the grammar of replies,
which vLLM can; ``longest=256`` are the tokens of a reply; ``coordinates=thousand`` is how it writes coordinates;
``max_pixels=262144`` is what the server was started with, where its model writes pixels.
"""

import os
from typing import Any
from urllib.parse import urlsplit

import httpx

from ibisagent.agent.grammar import reply_regex
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.policies.chat import ONE_TRY, TOLD, ChatPolicy, chat_model
from ibisagent.agent.policies.options import COUNT, one_of, split
from ibisagent.agent.privacy import is_loopback
from ibisagent.agent.prompting import PromptSet
from ibisagent.tools.errors import InputError

__all__ = ["open_vllm"]

_LONGEST = 512  # tokens of a reply, as the released weights were run
_OPTIONS = {"grammar": one_of(**{"0": False, "1": True}), "longest": COUNT, "max_pixels": COUNT} | TOLD


def open_vllm(name: str, *, prompts: PromptSet | None = None, local_only: bool = False) -> ChatPolicy:
    """Give the policy of a server; without ``#model`` of the one model that it serves.

    Replies are greedy, at most 512 tokens. The variable VLLM_API_KEY holds the key, where the server wants one.
    ``local_only`` refuses any host but this machine.
    """
    bare, told = split(name, _OPTIONS)
    url, _, model = bare.removeprefix("vllm:").partition("#")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InputError(f"policy {name!r}: got no address of a server, expected vllm:http://HOST:PORT/v1#MODEL")
    if local_only and not is_loopback(url):
        raise InputError(f"policy {name!r}: it sends the picture to another machine, which --local-only forbids")
    key = os.environ.get("VLLM_API_KEY") or "none"
    model = model or _only_model(name, url, key)
    longest, grammar = told.pop("longest", _LONGEST), told.pop("grammar", False)
    chat = chat_model(f"openai:{model}", base_url=url, api_key=key, max_tokens=longest, **ONE_TRY)
    if "max_pixels" in told:
        told["resizing"] = SmartResize(max_pixels=told.pop("max_pixels"))
    return ChatPolicy(chat, prompts=prompts, name=name, options=_grammar if grammar else None, **told)


def _grammar(observation: Observation) -> dict[str, Any]:
    expression = reply_regex(observation.actions, observation.frame)
    return {"extra_body": {"structured_outputs": {"regex": expression}}}


def _only_model(name: str, url: str, key: str) -> str:
    """Ask the server what it serves."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        answer.raise_for_status()
        served = [str(each["id"]) for each in answer.json()["data"]]
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise InputError(
            f"policy {name!r}: the server does not list its models ({got}); start it, or add #MODEL"
        ) from error
    if len(served) != 1:
        raise InputError(f"policy {name!r}: the server has {len(served)} models, expected one; add #MODEL")
    return served[0]
