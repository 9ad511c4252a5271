"""A cancelled call stops working within a second: between its policy's replies and while it waits for one."""

import asyncio
import base64
import io
import time

import numpy as np
import pytest
from mcp.shared.exceptions import McpError
from mcp.types import CancelledNotification, CancelledNotificationParams, ClientNotification
from PIL import Image
from support.mcp_servers import call, http_server, over_http, over_stdio, read_resource, run

SLOW = ("-m", "tests.support.slow_mcp_server")


@pytest.fixture
def image():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def slow(log, pause, run=60):
    return {"begin": SLOW, "env": {"SLOW_LOG": str(log), "SLOW_PAUSE": str(pause), "SLOW_RUN": str(run)}}


def asked(log):
    """When the policy was asked for a reply, in seconds."""
    return [float(line) for line in log.read_text().splitlines()] if log.exists() else []


async def until_asked(log, times):
    while len(asked(log)) < times:
        await asyncio.sleep(0.02)


async def cancelled(client, log, times, tool, **arguments):
    """Begin a call and cancel it, as a client does, when the policy was asked so many times; give when that was."""
    number = client._request_id
    task = asyncio.create_task(call(client, tool, **arguments))
    await until_asked(log, times)
    at = time.time()
    told = CancelledNotificationParams(requestId=number, reason="enough")
    await client.send_notification(
        ClientNotification(CancelledNotification(method="notifications/cancelled", params=told))
    )
    with pytest.raises(McpError, match="cancelled"):
        await task
    assert time.time() - at < 1
    return at


async def stops_between_steps(client, log, image):
    at = await cancelled(client, log, 3, "segment", image=image, request="x")
    await asyncio.sleep(1.8)
    return at


@pytest.mark.slow
def test_over_stdio_no_step_begins_after_a_second(log, image):
    async def ask():
        async with over_stdio(**slow(log, 0.2)) as client:
            return await stops_between_steps(client, log, image)

    at = run(ask)
    assert 3 <= len(asked(log)) < 12  # of the 60 it would have taken
    assert max(asked(log)) - at < 1


@pytest.mark.slow
def test_over_http_no_step_begins_after_a_second(log, image):
    async def ask(url):
        async with over_http(url) as client:
            return await stops_between_steps(client, log, image)

    with http_server(**slow(log, 0.2)) as url:
        at = run(ask, url)
    assert 3 <= len(asked(log)) < 12
    assert max(asked(log)) - at < 1


def test_a_call_that_waits_for_its_policy_makes_room_within_a_second(log, image):
    """The server has room for one run; the next one's policy is asked although the first one's has not answered."""

    async def ask():
        async with over_stdio(**slow(log, 60)) as client:
            at = await cancelled(client, log, 1, "segment", image=image, request="x")
            await cancelled(client, log, 2, "segment", image=image, request="y")
            return at

    at = run(ask)
    assert len(asked(log)) == 2
    assert asked(log)[1] - at < 1


@pytest.mark.slow
def test_a_session_whose_correction_was_cancelled_goes_on(log, image):
    async def ask():
        async with over_stdio(**slow(log, 0.2, run=4)) as client:
            _, begun = await call(client, "segment", image=image, request="x")
            session, click = begun["session"], [0.9, 0.9]
            await cancelled(client, log, 6, "refine", session=session, click=click, continue_policy=True)
            _, after = await call(client, "measure", session=session)
            _, undone = await call(client, "refine", session=session, undo=True, continue_policy=True)
            record = await read_resource(client, f"ibisagent://session/{session}/trajectory.json")
            return begun, after, undone, record

    begun, after, undone, record = run(ask)
    assert (begun["stop"], after["stop"], undone["stop"]) == ("terminated", "cancelled", "terminated")
    assert after["measurements"]["area_px"] > begun["measurements"]["area_px"]
    assert '"actor": "person"' in record
