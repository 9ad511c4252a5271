"""The reading page without a browser: what it serves to whom, what it refuses, and what the command prints of it."""

import asyncio

import httpx
import pytest
from support.command_line import run
from support.run_folders import write_runs

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
    made = run("review", tmp_path / "made/runs", "--report", "--root", "made", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    lines = [line.split() for line in made.stdout.splitlines()]
    assert [line[:6] for line in lines if line[:1] in (["oracle"], ["scripted"])] == [
        ["oracle", "4", "3", "0", "0", "1"],
        ["scripted", "4", "0", "0", "0", "4"],
    ]
    assert "What was wrong: leak 5" in made.stdout
    assert "Agreement on 4 cases on 2 pictures read by all of 2 readers: Cohen's kappa 0.50" in made.stdout
    assert "the same verdict in 0.75" in made.stdout


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
    ended = run("review", *options, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
