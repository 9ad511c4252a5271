"""Work mapped over real processes, some of which die."""

import os

import pytest
from support import killed_work

from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.process_pool import map_unordered


@pytest.mark.slow
def test_jobs_that_kill_their_process_cost_their_own_rows_alone():
    died = "its process died (out of memory, or a crash in native code)"
    units = [[0], [1, 2, 17], [4, 19], [6], [7]]
    rows = [row for some in map_unordered(killed_work.number_rows, units, 1, failed_row) for row in some]
    assert sorted((row["number"], row["value"]) for row in rows if row["value"] is not None) == [
        *((number, 10 * number) for number in (0, 1, 2, 4, 6, 7))
    ]
    assert sorted((row["number"], row["reason"]) for row in rows if row["value"] is None) == [(17, died), (19, died)]


def failed_row(number, reason):
    return {"number": number, "value": None, "reason": reason}


class Stillborn:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_processes_that_die_as_they_begin_are_told():
    with pytest.raises(InputError, match="got processes that end as they start, expected them to run"):
        list(map_unordered(Stillborn(), [[0], [1]], 2, lambda *job: job))
