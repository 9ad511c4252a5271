"""Sessions: handles that nobody can guess, bounded in number and age, never another's."""

import threading

import pytest

from ibisagent.tools.errors import InputError
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.session_store import Session, Sessions


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def held(sessions, owner=None):
    session = Session(graph=None, image=None)
    sessions.keep(session, owner)
    return session


def test_handles_are_long_and_never_the_same():
    handles = {Session(graph=None, image=None).handle for _ in range(1000)}
    assert len(handles) == 1000
    assert min(map(len, handles)) >= 32


def test_the_least_recently_used_session_ends_first():
    sessions = Sessions(Limits(sessions=2))
    first, second = held(sessions), held(sessions)
    sessions.get(first.handle, None)
    third = held(sessions)
    assert len(sessions) == 2
    assert [sessions.find(each.handle, None) for each in (first, second, third)] == [first, None, third]


def test_a_session_ends_with_age_unless_it_is_used():
    clock = Clock()
    sessions = Sessions(Limits(seconds=60), clock)
    used, left = held(sessions), held(sessions)
    clock.now = 50
    sessions.get(used.handle, None)
    clock.now = 100
    assert sessions.get(used.handle, None) is used
    with pytest.raises(InputError, match="ended"):
        sessions.get(left.handle, None)
    assert len(sessions) == 1


def test_another_owner_s_session_is_refused_like_one_that_never_was():
    sessions = Sessions(Limits())
    mine = held(sessions, "me")
    said = []
    for handle, owner in ((mine.handle, "you"), (mine.handle, None), ("never", "me"), ("", "me")):
        with pytest.raises(InputError) as refusal:
            sessions.get(handle, owner)
        said.append(str(refusal.value))
    assert len(set(said)) == 1
    assert sessions.get(mine.handle, "me") is mine


def test_a_name_on_disk_does_not_give_the_handle_away():
    session = Session(graph=None, image=None)
    assert not any(session.handle[at : at + 5] in session.folder for at in range(len(session.handle) - 4))


def test_a_session_in_which_something_runs_neither_ages_nor_ends_before_an_idle_one():
    clock = Clock()
    sessions = Sessions(Limits(seconds=60, sessions=2), clock)
    running, idle = held(sessions), held(sessions)
    running.cancels.add(threading.Event())
    third = held(sessions)
    assert [sessions.find(each.handle, None) for each in (running, idle, third)] == [running, None, third]
    clock.now = 100
    assert sessions.find(running.handle, None) is running
    assert sessions.find(third.handle, None) is None


def test_where_all_run_the_least_recently_used_is_cancelled_and_ends():
    sessions = Sessions(Limits(sessions=1))
    running, cancel = held(sessions), threading.Event()
    running.cancels.add(cancel)
    held(sessions)
    assert cancel.is_set()
    assert sessions.find(running.handle, None) is None
    assert len(sessions) == 1
