"""Readings: blinded, in an order of each reader's own, nothing shown twice, everything kept in two files."""

import csv
import json
import stat

import pytest
from support.run_folders import write_runs

from ibisagent.tools.errors import InputError
from ibisagent.ui.sessions.recorded_runs import list_records
from ibisagent.ui.sessions.reviews import FAILURES, ReviewBook, Verdict, read_reviews
from ibisagent.ui.sessions.session_errors import UnknownSession


@pytest.fixture
def records(tmp_path):
    runs = write_runs(tmp_path / "made", cases=4)
    return list_records(runs, [runs.parent])


def read_all(book, handle, verdict="accept", failure=""):
    """Judge every case that is left, and return what was shown."""
    shown = [book.show(handle)]
    while shown[-1]["number"] is not None:
        shown.append(book.judge(handle, Verdict(shown[-1]["number"], verdict, failure, "", 2.0)))
    return shown


def test_every_case_is_shown_once_in_an_order_of_the_reader_s_own(tmp_path, records):
    file = tmp_path / "reviews.csv"
    book = ReviewBook(records, file)
    shown = {name: read_all(book, book.register(name)) for name in ("anna", "ben")}
    rows = read_reviews(file)
    places = {name: [row.place for row in rows if row.reader == name] for name in shown}
    everything = [entry.place for entry in records.entries]
    for name, made in places.items():
        assert sorted(made) == sorted(everything)
        assert [view["done"] for view in shown[name]] == list(range(9))
        assert {view["total"] for view in shown[name]} == {8}
    assert places["anna"] != places["ben"]
    assert everything not in places.values()
    assert ReviewBook(records, tmp_path / "other.csv").order("anna") == book.order("anna")
    assert ReviewBook(records, tmp_path / "other.csv", seed=1).order("anna") != book.order("anna")


def test_nothing_that_is_shown_tells_who_made_it(tmp_path, records):
    book = ReviewBook(records, tmp_path / "reviews.csv")
    views = read_all(book, book.register("anna"))
    said = json.dumps(views)
    for secret in ("oracle", "scripted", "disk", "case-", "score", "iou", "truth"):
        assert secret not in said.lower(), secret
    statements = {view["statement"] for view in views if view["number"] is not None}
    assert statements == {"", "It says that this is not in the picture."}


def test_it_goes_on_after_a_restart_and_a_verdict_sent_twice_counts_once(tmp_path, records):
    file = tmp_path / "reviews.csv"
    book = ReviewBook(records, file)
    handle = book.register("  anna ")
    first = book.show(handle)
    given = Verdict(first["number"], "major", "leak", '=1+1, "so"\nmore', 1e9)
    second = book.judge(handle, given)
    assert book.judge(handle, given) == second
    again = ReviewBook(records, file)
    assert again.register("anna") == handle
    assert again.show(handle) == second
    (row,) = read_reviews(file)
    assert (row.reader, row.verdict, row.failure, row.comment) == ("anna", "major", "leak", '=1+1, "so"\nmore')
    assert row.seconds == 24 * 3600
    with file.open(newline="") as opened:
        assert [each["policy"] for each in csv.DictReader(opened)] == [row.policy]
    handles = tmp_path / "reviews.csv.readers.json"
    assert stat.S_IMODE(handles.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"made", "reviews.csv", handles.name}
    with pytest.raises(UnknownSession):
        again.picture(handle, first["number"])
    with pytest.raises(UnknownSession):
        again.show("x" * 32)


@pytest.mark.parametrize(("verdict", "failure"), [("fine", ""), ("minor", ""), ("minor", "ugly"), ("", "leak")])
def test_a_verdict_that_is_none_changes_nothing(tmp_path, records, verdict, failure):
    book = ReviewBook(records, tmp_path / "reviews.csv")
    handle = book.register("anna")
    before = book.show(handle)
    with pytest.raises(InputError, match="choose"):
        book.judge(handle, Verdict(before["number"], verdict, failure, "", 1.0))
    assert book.show(handle) == before
    assert not (tmp_path / "reviews.csv").exists()


def test_a_case_without_its_picture_is_shown_to_nobody(tmp_path, records):
    (tmp_path / "made/images/case-0.png").unlink()
    book = ReviewBook(records, tmp_path / "reviews.csv")
    assert len(book.unreadable) == 2
    picture = tmp_path / "made/images/case-1.png"
    picture.write_bytes((tmp_path / "made/images/case-2.png").read_bytes())  # other pixels than those recorded
    views = read_all(book, book.register("anna"), "reject", FAILURES[0])
    assert len(read_reviews(tmp_path / "reviews.csv")) == 4
    assert views[-1]["total"] == views[-1]["done"] == 4


@pytest.mark.parametrize("name", ["", "   ", "a" * 61, "a\x1bb"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, records, name):
    with pytest.raises(InputError, match="reader"):
        ReviewBook(records, tmp_path / "reviews.csv").register(name)


def test_a_file_of_something_else_is_not_overwritten(tmp_path, records):
    (tmp_path / "reviews.csv").write_text("id,iou\n1,0.5\n")
    with pytest.raises(InputError, match="name another"):
        ReviewBook(records, tmp_path / "reviews.csv")
    assert (tmp_path / "reviews.csv").read_text() == "id,iou\n1,0.5\n"
