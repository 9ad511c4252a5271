"""The policy under training where a vLLM server draws its replies: with tokens, log-probabilities, and no surprises.

The server renders and draws, the trainer scores: they have to agree on every token and pixel. So all that decides a
draw is sent with each request, whatever the server's or the model's own defaults are; pictures have the size at which
the model sees them, so that no processor resizes them; and the tokens of the prompt that the server saw come back and
have to be ours.
"""

import base64
import hashlib
import time
from collections.abc import Collection, Sequence
from typing import Any

import httpx

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.policies.local import QwenInputs
from ibisagent.agent.policies.local.qwen_inputs import escape_control_tokens
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.prompting import Message, PromptSet
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.png import encode_png

__all__ = ["ServedPolicy", "find_served_model"]

_PLAIN = {  # draws from the model's distribution itself, as the trainer's ratios need
    "n": 1,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "stream": False,
    "logprobs": True,
    "top_logprobs": 0,  # of the drawn token alone
    "return_token_ids": True,
}


class ServedPolicy(SyncPolicy):
    """Replies by a server's chat completions; ``fault`` is a line on the first reply that was not drawn as it must be.

    Such a reply raises, and its episode ends with ``policy_error``; a training has to stop at a fault, which is no
    failure that another attempt could mend.
    """

    name = "trained"

    def __init__(
        self,
        url: str,
        inputs: QwenInputs,
        prompts: PromptSet,
        *,
        temperature: float,
        max_tokens: int,
        end_ids: Collection[int],
        coordinates: str = "unit",
        timeout: float = 300.0,
        retries: Retries | None = None,
    ) -> None:
        """Take the server's address, without ``/v1``; ``inputs``: of the model that it serves; ``timeout``: seconds.

        ``end_ids``: tokens that end a reply. `InputError` for a server that does not list the one model it serves.
        """
        self.inputs, self.coordinates, self.actions = inputs, coordinates, prompts.kinds
        self.sampling = {"temperature": temperature, "max_tokens": max_tokens}
        self.fault: str | None = None
        self._prompts, self._end_ids = prompts, sorted(end_ids)
        self._retries = retries or Retries()
        self._url, self._timeout = f"{url.rstrip('/')}/v1", timeout
        self._served = find_served_model(url)

    @property
    def smart_resize(self) -> SmartResize:
        """The sizes at which the model sees its pictures."""
        return self.inputs.smart_resize

    def act(self, observation: Observation) -> Completion:
        """Reply to an observation, with the drawn tokens and their log-probabilities."""
        begun, conversation = time.perf_counter(), self._prompts.conversation(observation)
        expected = self.inputs.encode(conversation).ids
        body = self._request(observation, conversation)
        answer = self._retries.call(lambda: self._post(body))
        choice = answer["choices"][0]
        ids: Any = choice.get("token_ids")
        logprobs: Any = (choice.get("logprobs") or {}).get("content")
        got = _why_other(expected, answer.get("prompt_token_ids"), ids, logprobs)
        if got is not None:
            self.fault = self.fault or got
            raise RuntimeError(got)
        end = next((index for index, token in enumerate(ids) if token in self._end_ids), None)
        text = self.inputs.tokenizer.decode(ids[:end], skip_special_tokens=True)
        kept = ids if end is None else ids[: end + 1]
        return Completion(
            text,
            "length" if end is None else "stop",
            {"input_tokens": len(expected), "output_tokens": len(ids[:end])},
            time.perf_counter() - begun,
            self.name,
            token_ids=kept,
            logprobs=[float(each["logprob"]) for each in logprobs[: len(kept)]],
        )

    def _request(self, observation: Observation, conversation: Sequence[Message]) -> dict[str, Any]:
        drawn_by = [observation.seed, observation.step, observation.image_sha, observation.request]
        digest = hashlib.sha256(repr(drawn_by).encode("utf-8", "backslashreplace")).digest()
        messages = [self._to_openai(message) for message in conversation]
        own = {"seed": int.from_bytes(digest[:4], "big") >> 1, "stop_token_ids": self._end_ids}
        return {"model": self._served, "messages": messages, **_PLAIN, **self.sampling, **own}

    def _to_openai(self, message: Message) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if message.picture is not None:
            data = encode_png(self.inputs.resize(message.picture), level=1)
            url = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        if message.text:
            content.append({"type": "text", "text": escape_control_tokens(message.text)})
        return {"role": message.role, "content": content}

    def _post(self, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self._url}/chat/completions", json=body, timeout=self._timeout)
        answer.raise_for_status()
        return answer.json()


def find_served_model(url: str) -> str:
    """Return the name of the one model that a server has; `InputError` for another number, or no answer."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/v1/models", timeout=10)
        answer.raise_for_status()
        (served,) = (str(each["id"]) for each in answer.json()["data"])
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        expected = "expected a server of the one model that is trained; start it, or correct rollouts.server"
        raise InputError(f"[rollouts]: {url} does not list its model ({reason}), {expected}") from error
    return served


def _why_other(expected: list[int], shown: Any, ids: Any, logprobs: Any) -> str | None:
    """Return why a reply cannot be trained on, None for one that was drawn to our prompt."""
    if not isinstance(ids, list) or not ids or not isinstance(logprobs, list) or len(logprobs) != len(ids):
        got = "got a reply without a log-probability for each of its token_ids"
        return f"{got}, expected both; serve with vLLM, which returns them"
    if shown != expected:
        same = next((n for n, pair in enumerate(zip(expected, shown or [], strict=False)) if pair[0] != pair[1]), None)
        where = f"token {same}" if same is not None else f"their number, {len(shown or [])} after {len(expected)}"
        got = f"got a server whose prompt differs from ours at {where}"
        return f"{got}, expected equal tokens; serve the folder that is trained, with its own template and processor"
    return None
