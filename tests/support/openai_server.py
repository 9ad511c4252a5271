"""A small server of OpenAI's chat completions on loopback, with a real model or a script behind it, and with faults."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import SecretStr
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ibisagent.agent.policies.chat import ChatPolicy
from ibisagent.agent.policies.retries import Retries

HANG = 1.5  # seconds of a server that hangs

Body = dict[str, Any]
"""The JSON of a request or of a response."""

Answer = Callable[[Body], Body]


def completion_body(text: str | None, finish: str = "stop", prompt: int = 10, written: int = 5, **more: Any) -> Body:
    """Return the body of a chat completion."""
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice], "usage": usage}


def images_in(messages: Sequence[Body]) -> list[Image.Image]:
    """Return the images of a conversation, in order."""
    blocks = [block for each in messages if isinstance(each["content"], list) for block in each["content"]]
    urls = [block["image_url"]["url"] for block in blocks if block["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB") for url in urls]


def answer_with_model(folder: Path) -> Answer:
    """Return a function that answers with a Qwen-VL model, greedily, by transformers' own parts and none of ours."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    pad, lock = "<|image_pad|>", threading.Lock()

    def plain(message: Body) -> Body:
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        return {
            "role": message["role"],
            "content": [{"type": "image"} if block["type"] == "image_url" else block for block in blocks],
        }

    def answer(body: Body) -> Body:
        shown = processor(images=images_in(body["messages"]), return_tensors="pt")
        conversation = [plain(message) for message in body["messages"]]
        text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        for count in (shown["image_grid_thw"].prod(dim=1) // 4).tolist():
            text = text.replace(pad, "<|seen|>" * count, 1)
        ids = tokenizer(text.replace("<|seen|>", pad), return_tensors="pt", add_special_tokens=False)["input_ids"]
        kinds = (ids == model.config.image_token_id).int()
        with lock, torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=kinds,
                **shown,
                max_new_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
                do_sample=False,
            )
        reply = out[0, ids.shape[1] :]
        ended = bool((reply == tokenizer.eos_token_id).any())
        text = tokenizer.decode(reply, skip_special_tokens=True)
        return completion_body(text, "stop" if ended else "length", ids.shape[1], len(reply) - ended)

    return answer


def answer_with_script(*replies: str) -> Answer:
    """Return a function that answers with the reply of the turn that the prompt's text is at."""
    return lambda body: completion_body(replies[min(len(replies) - 1, count_turns(body))])


def count_turns(body: Body) -> int:
    """Return the turns before this one: 0 if nothing is marked yet, else 1."""
    words = json.dumps(body["messages"][-1])
    return 0 if "Nothing is marked yet" in words else 1


class OpenAIServer(ThreadingHTTPServer):
    """Answers with functions of a request's body, and keeps the bodies in ``requests``; its address is ``url``."""

    def __init__(self, answer: Answer, fault: Callable[[Body], str | None]) -> None:
        super().__init__(("127.0.0.1", 0), OpenAIHandler)
        self.answer, self.fault = answer, fault
        self.requests: list[Body] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class OpenAIHandler(BaseHTTPRequestHandler):
    server: OpenAIServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        fault = self.server.fault(body)
        if fault is not None and FAULTS[fault](self, body):
            return
        answer = self.server.answer(body)
        if body.get("stream"):
            self._stream(answer)
        else:
            self._send(200, answer)

    def _send(self, status: int, value: Body, **headers: Any) -> None:
        self.raw(status, json.dumps(value).encode(), **headers)

    def raw(self, status: int, content: bytes, **headers: Any) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": len(content)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: Body) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        text = answer["choices"][0]["message"]["content"]
        pieces = [text[start : start + 7] for start in range(0, len(text), 7)]
        for number, piece in enumerate([*pieces, None]):
            delta = {"role": "assistant", "content": piece} if piece is not None else {}
            finish = None if piece is not None else answer["choices"][0]["finish_reason"]
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": number, "model": "tiny"}
            self.wfile.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
        if (body := self.server.requests[-1]).get("stream_options", {}).get("include_usage"):
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": body["model"], "choices": []}
            self.wfile.write(f"data: {json.dumps(chunk | {'usage': answer['usage']})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


Fault = Callable[[OpenAIHandler, Body], bool]
"""Sends a faulty response, or none; True if the request is done with."""


def _status(status: int, **headers: Any) -> Fault:
    def send(handler: OpenAIHandler, body: Body) -> bool:
        handler.raw(status, b'{"error": {"message": "no", "type": "x"}}', **headers)
        return True

    return send


def _raw(content: bytes) -> Fault:
    def send(handler: OpenAIHandler, body: Body) -> bool:
        handler.raw(200, content)
        return True

    return send


def _reply(text: str | None, **more: Any) -> Fault:
    return _raw(json.dumps(completion_body(text, **more)).encode())


def _hang(handler: OpenAIHandler, body: Body) -> bool:
    time.sleep(HANG)
    handler.close_connection = True
    return True


def _drop(handler: OpenAIHandler, body: Body) -> bool:
    handler.close_connection = True
    return True


CALL = {"id": "t", "type": "function", "function": {"name": "segment", "arguments": "{}"}}
FAULTS: dict[str, Fault] = {
    "500": _status(500),
    "429": _status(429, Retry_After=0),
    "401": _status(401),
    "hang": _hang,
    "drop": _drop,
    "truncated": _raw(json.dumps(completion_body("<think>a")).encode()[:-40]),
    "empty": _raw(json.dumps(completion_body("") | {"choices": []}).encode()),
    "huge": _reply("x" * 2_000_000),
    "language": _reply("Ich sehe hier nichts, was ich anklicken könnte. 我不知道。"),
    "tool": _reply(None, tool_calls=[CALL], finish="tool_calls"),
    "thousand": _reply("<think>There.</think>\n<action>Positive Point (451, 424)</action>"),
    "two": _reply("<think>a</think>\n<action>Positive Point (0.6, 0.4)</action>\n<action>Backtrack</action>"),
    "unclosed": _reply("<think>There\n<action>Positive Point (0.55, 0.42)"),
}


@contextmanager
def serve(answer: Answer, fault: Callable[[Body], str | None] = lambda body: None) -> Iterator[OpenAIServer]:
    """Serve; ``fault``: returns for each request one of `FAULTS` or None."""
    server = OpenAIServer(answer, fault)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


FAST_RETRIES = Retries(max_retries=2, initial_interval=0.01, max_interval=0.02)


def make_chat_policy(
    server: OpenAIServer, retries: Retries = FAST_RETRIES, timeout: float = 0.5, **options: Any
) -> ChatPolicy:
    """Return a policy over langchain-openai's client."""
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="tiny", base_url=server.url, api_key=SecretStr("none"), max_retries=0, timeout=timeout)
    return ChatPolicy(model, retries=retries, **options)
