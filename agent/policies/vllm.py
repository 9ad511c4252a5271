"""A policy over a vLLM server, or any other that speaks OpenAI's chat completions.

``vllm:http://HOST:PORT/v1#MODEL``, with options at its end: ``?grammar=1`` constrains decoding to the grammar of
replies, which vLLM supports; ``max_tokens=256`` limits a reply; ``coordinates=thousand`` is the form of coordinates;
``max_pixels=262144`` is the setting of a server whose model writes pixels.
"""

import os
from typing import Any
from urllib.parse import urlsplit

import httpx

from ibisagent.agent.grammar import reply_regex
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.policies.chat import CHAT_OPTIONS, NO_RETRIES, ChatPolicy, build_chat_model
from ibisagent.agent.policies.options import COUNT, PolicyOptions, one_of
from ibisagent.agent.privacy import is_loopback
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.registry import parse_options

__all__ = ["open_vllm"]

_MAX_TOKENS = 512  # tokens of a reply, as the released weights were run
_OPTIONS = {"grammar": one_of(**{"0": False, "1": True}), "max_tokens": COUNT, "max_pixels": COUNT} | CHAT_OPTIONS


def open_vllm(name: str, options: PolicyOptions) -> ChatPolicy:
    """Return the policy of a server; without ``#MODEL`` of the one model that it serves.

    Replies are greedy, at most 512 tokens. The variable VLLM_API_KEY holds the server's key, if it needs one.
    ``local_only`` refuses any host but this machine.
    """
    bare, own = parse_options("policy", name, _OPTIONS)
    url, _, model = bare.removeprefix("vllm:").partition("#")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InputError(f"policy {name!r}: got no address of a server, expected vllm:http://HOST:PORT/v1#MODEL")
    if options.local_only and not is_loopback(url):
        raise InputError(f"policy {name!r}: it sends the picture to another machine, which --local-only forbids")
    key = os.environ.get("VLLM_API_KEY") or "none"
    model = model or _only_model(name, url, key)
    max_tokens, grammar = own.pop("max_tokens", _MAX_TOKENS), own.pop("grammar", False)
    chat = build_chat_model(f"openai:{model}", base_url=url, api_key=key, max_tokens=max_tokens, **NO_RETRIES)
    if "max_pixels" in own:
        own["smart_resize"] = SmartResize(max_pixels=own.pop("max_pixels"))
    return ChatPolicy(chat, prompts=options.prompts, name=name, options=_grammar if grammar else None, **own)


def _grammar(observation: Observation) -> dict[str, Any]:
    expression = reply_regex(observation.actions, observation.frame)
    return {"extra_body": {"structured_outputs": {"regex": expression}}}


def _only_model(name: str, url: str, key: str) -> str:
    """Return the one model that the server lists."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        answer.raise_for_status()
        served = [str(each["id"]) for each in answer.json()["data"]]
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"policy {name!r}: the server does not list its models ({describe_error(error)}); start it, or add #MODEL"
        ) from error
    if len(served) != 1:
        raise InputError(f"policy {name!r}: the server has {len(served)} models, expected one; add #MODEL")
    return served[0]
