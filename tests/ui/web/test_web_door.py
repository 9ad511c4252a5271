"""The door: what passes by host, origin, path, login and owner, and what every answer carries."""

import asyncio
import re
import secrets
from pathlib import Path

import gradio.routes
import httpx
import pytest
from PIL import Image
from support.fakes import STOP, positive, script
from support.web_sessions import make_sessions, raise_failure

from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.web.app import make_app
from ibisagent.ui.web.http_checks import CONTENT_SECURITY_POLICY
from ibisagent.ui.web.passwords import LOGIN_SECONDS, Passwords, hash_password, read_passwords

HERE = "http://127.0.0.1:7860"
SAME = {"origin": HERE}


def ask(calls, *, passwords=None, loopback=True, limits=None):
    """Run ``calls(client, app)`` against a new application, without any socket."""

    async def run():
        sessions = make_sessions(lambda: script(positive(0.3, 0.3), STOP), limits=limits or Limits())
        app = make_app(sessions, passwords=passwords, loopback=loopback)
        async with sessions.running(raise_failure):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=HERE, timeout=30) as client:
                return await calls(client)

    return asyncio.run(run())


async def enter(client):
    """Open a session, and return its handle."""
    answer = await client.get("/")
    assert answer.status_code == 303
    return answer.headers["location"].removeprefix("/?s=")


TABLE = [
    ("GET", "/", {}, 303),
    ("GET", "/", {"host": "localhost:7860"}, 303),
    ("GET", "/", {"host": "[::1]:7860"}, 303),
    ("GET", "/", {"host": "evil.example"}, 403),
    ("GET", "/", {"host": "evil.example:7860"}, 403),
    ("GET", "/", {"host": "127.0.0.1.evil.example"}, 403),
    ("GET", "/config", {"host": "evil.example"}, 403),
    ("GET", "/config", {}, 200),
    ("GET", "/theme.css", {}, 200),
    ("PUT", "/", SAME, 404),
    ("DELETE", "/config", SAME, 404),
    ("OPTIONS", "/config", SAME, 404),
    ("POST", "/gradio_api/queue/join", {}, 403),
    ("POST", "/gradio_api/queue/join", {"origin": "null"}, 403),
    ("POST", "/gradio_api/queue/join", {"origin": "http://evil.example"}, 403),
    ("POST", "/gradio_api/queue/join", {"origin": "http://127.0.0.1:9"}, 403),
    ("POST", "/gradio_api/queue/join", {"origin": "http://evil.example", "host": "evil.example"}, 403),
    ("POST", "/gradio_api/queue/join", SAME, 422),
    ("POST", "/gradio_api/upload", SAME, 404),
    ("POST", "/gradio_api/run/predict", SAME, 404),
    ("POST", "/gradio_api/api/predict", SAME, 404),
    ("POST", "/gradio_api/call/ask", SAME, 404),
    ("POST", "/gradio_api/call/v2/ask", SAME, 404),
    ("GET", "/gradio_api/call/ask/1", {}, 404),
    ("POST", "/gradio_api/component_server", SAME, 404),
    ("GET", "/gradio_api/file=/etc/passwd", {}, 404),
    ("GET", "/gradio_api/file/etc/passwd", {}, 404),
    ("GET", "/gradio_api/proxy=http://evil.example", {}, 404),
    ("GET", "/gradio_api/stream/a/b/c/playlist.m3u8", {}, 404),
    ("GET", "/gradio_api/heartbeat/abc", {}, 404),
    ("GET", "/gradio_api/deep_link", {}, 404),
    ("GET", "/gradio_api/queue/status", {}, 404),
    ("GET", "/gradio_api/runs", {}, 404),
    ("GET", "/monitoring", {}, 404),
    ("GET", "/monitoring/summary", {}, 404),
    ("GET", "/gradio_api/monitoring/summary", {}, 404),
    ("GET", "/openapi.json", {}, 404),
    ("GET", "/docs", {}, 404),
    ("GET", "/login", {}, 404),
    ("POST", "/login", SAME, 404),
    ("GET", "/s/x/y", {}, 404),
    ("GET", "/s/../config", {}, 200),
    ("GET", "/static/../../etc/passwd", {}, 404),
]


def test_what_passes_the_door():
    async def calls(client):
        seen = []
        for method, path, headers, status in TABLE:
            answer = await client.request(method, path, headers=headers)
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            if answer.status_code != status:
                seen.append((method, path, headers, answer.status_code))
        return seen

    assert ask(calls) == []


def test_of_gradios_addresses_only_those_pass_that_are_named():
    """A new version of Gradio may bring an address: it is not served before somebody has looked at it."""
    passing = ("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/startup-events")
    passing += ("/gradio_api/queue/data", "/gradio_api/info", "/gradio_api/info/")
    passing += ("/gradio_api/app_id", "/gradio_api/app_id/")
    folders = ("/assets/", "/static/", "/svelte/")

    named = re.findall(r'@(?:app|router)\.(?:get|head)\(\s*"([^"]+)"', Path(gradio.routes.__file__).read_text())
    paths = {re.sub(r"\{[^}]*\}", "x", path) for path in named}
    assert len(paths) > 40

    async def get(client):
        wrong = []
        for path in sorted({*paths, *(f"/gradio_api{path}" for path in paths)}):
            if path in passing or path.startswith(folders) or path == "/gradio_api/":
                continue
            if (await client.get(path)).status_code != 404:
                wrong.append(path)
        return wrong

    assert ask(get) == []


def test_a_session_is_its_owners_alone_whatever_address_is_guessed(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "p.png")
    content = (tmp_path / "p.png").read_bytes()

    async def calls(client):
        handle = await enter(client)
        assert (await client.get(f"/?s={handle}")).status_code == 200
        uploaded = await client.post(f"/s/{handle}/upload?name=p.png", content=content, headers=SAME)
        assert (uploaded.status_code, uploaded.json()) == (200, {"ok": True})
        own = (f"/s/{handle}/picture", f"/s/{handle}/slice/frame/0", f"/s/{handle}/slice/frame/0?still=1")
        answers = [await client.get(path) for path in own[:1]]
        assert [answer.status_code for answer in answers] == [200]
        assert answers[0].headers["cache-control"] == "no-store, private"
        assert (await client.get(f"/s/{handle}/file/mask.png")).status_code == 404  # nothing was asked yet

        owner = client.cookies["ibisagent"]
        for cookies in ({}, {"ibisagent": secrets.token_urlsafe(24)}, {"ibisagent": ""}, {"ibisagent-1": owner}):
            client.cookies.clear()
            client.cookies.update(cookies)
            for path in (*own, f"/s/{handle}/file/mask.png", f"/s/{handle}/file/trajectory.json"):
                assert (await client.get(path)).status_code == 404, path
            refused = await client.post(f"/s/{handle}/upload?name=p.png", content=content, headers=SAME)
            assert refused.status_code == 404
            page = await client.get(f"/?s={handle}")
            assert page.status_code == 303
            assert handle not in page.headers["location"]

    ask(calls)


def test_two_pages_of_one_browser_are_two_sessions_and_the_cookie_is_out_of_scripts_reach():
    async def calls(client):
        first = await client.get("/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        second = await client.get("/")
        assert first.headers["location"] != second.headers["location"]
        for answer in (first, second):
            assert (await client.get(answer.headers["location"])).status_code == 200

    ask(calls)


def test_bodies_have_limits_whatever_their_header_says():
    async def pieces():
        for _ in range(40):
            yield bytes(2**16)

    async def calls(client):
        handle = await enter(client)
        for path, content in (
            ("/gradio_api/queue/join", bytes(2**20 + 1)),
            (f"/s/{handle}/upload?name=a.png", bytes(2**22)),
        ):
            answer = await client.post(path, content=content, headers=SAME)
            assert answer.status_code == 413, path
        undeclared = await client.post(f"/s/{handle}/upload?name=a.png", content=pieces(), headers=SAME)
        assert undeclared.status_code == 413
        assert "1 MiB" in undeclared.json()["error"]
        assert (await client.get(f"/?s={handle}")).status_code == 200

    ask(calls, limits=Limits(file_bytes=2**20 + 2**19))


def test_with_a_password_file_nothing_is_served_before_the_login(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"# people\nann:open sesame\nbob:{hash_password('pass:word', bytes(range(16)))}\n")
    passwords = read_passwords(path)

    async def calls(client):
        for target in ("/config", "/assets/x.js", "/s/x/picture", "/gradio_api/queue/data"):
            assert (await client.get(target)).status_code == 401, target
        assert (await client.post("/gradio_api/queue/join", headers=SAME)).status_code == 401
        entered = await client.get("/")
        assert (entered.status_code, entered.headers["location"]) == (303, "/login")
        assert "password" in (await client.get("/login")).text
        wrong = await client.post("/login", data={"user": "ann", "password": "x"}, headers=SAME)
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert (await client.post("/login", data={"user": "ann", "password": "open sesame"})).status_code == 403
        done = await client.post("/login", data={"user": "bob", "password": "pass:word"}, headers=SAME)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        handle = await enter(client)
        assert (await client.get(f"/?s={handle}")).status_code == 200
        await client.post("/logout", headers=SAME)
        assert (await client.get("/config")).status_code == 401

    ask(calls, passwords=passwords)


def test_a_login_cannot_be_forged_and_ends(tmp_path):
    now = [1000.0]
    made = Passwords({"ann": "a", "bob": "b"}, b"key", clock=lambda: now[0])
    login = made.sign("ann")
    assert made.read(login) == "ann"
    user, until, signature = login.split(".")
    for forged in (
        "",
        "..",
        f"{b'bob'.hex()}.{until}.{signature}",
        f"{user}.{int(until) + 1}.{signature}",
        f"{user}.{until}.{signature[:-1]}",
        f"zz.{until}.{signature}",
        Passwords({"ann": "a"}, b"other").sign("ann"),
    ):
        assert made.read(forged) is None, forged
    assert Passwords({"bob": "b"}, b"key", clock=lambda: now[0]).read(login) is None
    now[0] += LOGIN_SECONDS + 1
    assert made.read(login) is None


@pytest.mark.parametrize("text", ["", "# nobody\n", "ann\n", "ann:\n", ":x\n", "ann:a\nann:b\n"])
def test_a_wrong_password_file_is_one_line(tmp_path, text):
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"expected|empty"):
        read_passwords(path)
