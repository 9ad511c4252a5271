"""The reading page without a browser: what it serves to whom, what it refuses, and what the command prints of it."""

import asyncio
import io

import httpx
import numpy as np
import pytest
from conftest import ellipse
from PIL import Image
from support.command_line import call
from support.fakes import STOP, script
from support.run_folders import write_runs
from support.web_sessions import OWNER, make_sessions, send, settle, started

from ibisagent.evals.person_clicks import compare_person_clicks
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.sessions.recorded_runs import list_records
from ibisagent.ui.sessions.reviews import ReviewBook, Verdict
from ibisagent.ui.web.http_checks import CONTENT_SECURITY_POLICY
from ibisagent.ui.web.review_app import make_review_app

HERE = "http://127.0.0.1:7861"
SAME = {"origin": HERE}
GOOD = {"verdict": "accept", "failure": "", "comment": "", "seconds": 1.5}


@pytest.fixture
def book(tmp_path):
    runs = write_runs(tmp_path / "made")
    return ReviewBook(list_records(runs, [runs.parent]), tmp_path / "reviews.csv")


def ask(book, calls, *, names_open=True):
    async def story():
        transport = httpx.ASGITransport(make_review_app(book, names_open=names_open, loopback=True))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await calls(client)

    return asyncio.run(story())


def test_a_reader_begins_by_his_name_and_is_served_what_he_is_to_judge_alone(book):
    async def calls(client):
        form = await client.get("/")
        assert "<form" in form.text
        begun = await client.post("/begin", data={"name": "anna"}, headers=SAME)
        assert begun.status_code == 303
        handle = begun.headers["location"].removeprefix("/?r=")
        page = await client.get(f"/?r={handle}")
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert "{{" not in page.text
        case = (await client.get(f"/r/{handle}/case")).json()
        picture = await client.get(f"/r/{handle}/picture/{case['number']}")
        assert (picture.headers["content-type"], picture.headers["cache-control"]) == ("image/png", "no-store, private")
        for path in (f"/r/{handle}/picture/{case['number'] + 1}", "/r/x/case", f"/r/x/picture/{case['number']}"):
            assert (await client.get(path)).status_code == 404, path
        where = f"/r/{handle}/verdict"
        for wrong in ({}, {**GOOD, "number": "x"}, {**GOOD, "number": 0, "seconds": float("nan")}):
            body = httpx.Request("POST", HERE, json={}).read() if not wrong else str(wrong).replace("'", '"').encode()
            refused = await client.post(where, content=body, headers=SAME)
            assert (refused.status_code, "not understood" in refused.json()["error"]) == (422, True)
        unsaid = await client.post(where, json={**GOOD, "number": case["number"], "verdict": "minor"}, headers=SAME)
        assert "choose what is wrong" in unsaid.json()["error"]
        foreign = await client.post(where, json={**GOOD, "number": case["number"]}, headers={"origin": "http://x"})
        assert foreign.status_code == 403
        assert (await client.post(where, content=b" " * 2**17, headers=SAME)).status_code == 413
        saved = await client.post(where, json={**GOOD, "number": case["number"]}, headers=SAME)
        assert (saved.json()["done"], saved.json()["number"]) == (1, case["number"] + 1)
        assert (await client.get("/", headers={"host": "evil.example"})).status_code == 403
        blank = await client.post("/begin", data={"name": " "}, headers=SAME)
        assert (blank.status_code, "write one" in blank.text) == (422, True)

    ask(book, calls)


def test_where_readers_were_named_a_link_is_needed(book):
    async def calls(client):
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/begin", data={"name": "anna"}, headers=SAME)).status_code == 404
        assert (await client.get(f"/?r={book.register('anna')}")).status_code == 200

    ask(book, calls, names_open=False)


def test_the_report_counts_by_policy_and_measures_agreement(tmp_path, book):
    """Two readers on four cases: three verdicts agree of four, (0.75 - 0.5) / 0.5."""
    for reader, odd in (("anna", "accept"), ("ben", "reject")):
        handle = book.register(reader)
        for _ in range(4):
            number = book.show(handle)["number"]
            place = book.records.entries[book.order(reader)[number]].place
            verdict = "reject" if "scripted" in place else odd if "case-1" in place else "accept"
            book.judge(handle, Verdict(number, verdict, "" if verdict == "accept" else "leak", "", 3.0))
    made = call("review", tmp_path / "made/runs", "--report", "--root", "made", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    lines = [line.split() for line in made.stdout.splitlines()]
    assert [line[:6] for line in lines if line[:1] in (["oracle"], ["scripted"])] == [
        ["oracle", "4", "3", "0", "0", "1"],
        ["scripted", "4", "0", "0", "0", "4"],
    ]
    assert "What was wrong: leak 5" in made.stdout
    assert "Agreement on 4 cases on 2 pictures read by all of 2 readers: Cohen's kappa 0.50" in made.stdout
    assert "the same verdict in 0.75" in made.stdout


def test_the_report_sets_a_person_s_clicks_beside_the_simulator_s(tmp_path):
    """On a session of the page with a true mask: one click in the middle of what is missed, one in what is right."""
    truth, name = ellipse((48, 64), (24, 44), (9, 9)), tmp_path / "scan.png"
    Image.fromarray((90 + 80 * truth).astype(np.uint8)).save(name)
    packed = io.BytesIO()
    Image.fromarray(truth).save(packed, "PNG")

    async def story():
        sessions = make_sessions(lambda: script(STOP))
        async with started(sessions) as handle:
            await send(sessions, handle, name, "scan.png")
            await send(sessions, handle, packed.getvalue(), "truth.png", "truth")
            await sessions.click(handle, OWNER, 44.5 / 64, 24.5 / 48)
            await settle(sessions, handle)
            await sessions.click(handle, OWNER, 44.5 / 64, 24.5 / 48, False)
            await settle(sessions, handle)
            return await sessions.render(handle, OWNER, "trajectory.json")

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/case.json").write_bytes(asyncio.run(story()))
    name.rename(tmp_path / f"runs/{open_image(name).sha}.png")
    records = list_records(tmp_path / "runs")
    book = ReviewBook(records, tmp_path / "reviews.csv")
    book.judge(book.register("anna"), Verdict(0, "accept", "", "", 3.0))
    made = call("review", "runs", "--report", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "none to measure" in made.stdout
    assert "Clicks of a person: 2 in 1 runs" in made.stdout
    assert "in what was missed (positive) or too much (negative): 0.50 [1]" in made.stdout
    both = compare_person_clicks(records.read(0))
    assert both[0].distance == 0
    gains = [line for line in made.stdout.splitlines() if line.startswith("IoU gained, by 2 of them")]
    assert f"{(both[0].gain + both[1].gain) / 2:.2f}" in gains[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("made/runs", "--report", "--out", "none.csv"), "expected that of earlier readings"),
        (("made/runs", "--host", "0.0.0.0"), "without --reader"),
        (("made/images",), "no trajectory"),
        (("missing",), "missing"),
    ],
    ids=str,
)
def test_a_wrong_option_is_one_line(tmp_path, options, says):
    write_runs(tmp_path / "made", cases=1, policies=("oracle",))
    ended = call("review", *options, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
