"""What readings say: verdicts by policy, agreement of the readers, a person's clicks beside the simulator's."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.agreement import measure_agreement
from ibisagent.evals.person_clicks import PersonClick, Predict, compare_person_clicks
from ibisagent.evals.stats import Interval, mean_interval, proportion_interval
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import SEGMENTERS
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.cli.trajectory_files import print_line
from ibisagent.ui.sessions.recorded_runs import RecordList
from ibisagent.ui.sessions.reviews import FAILURES, VERDICTS, Review, read_reviews

__all__ = ["print_report"]


def print_report(records: RecordList, file: Path) -> None:
    """Print the tables of the verdicts in a file on these records; those on others are left out, with a line."""
    console, pictures = Console(), {entry.place: entry.sha for entry in records.entries}
    reviews = read_reviews(file)
    known = [review for review in reviews if review.place in pictures]
    if len(known) < len(reviews):
        print_line(Console(stderr=True), f"{len(reviews) - len(known)} verdicts on other runs are left out")
    console.print(_verdict_table("policy", known, pictures, lambda review: review.policy))
    console.print(_verdict_table("reader", known, pictures, lambda review: review.reader))
    failures = Counter(review.failure for review in known if review.failure)
    print_line(
        console, f"What was wrong: {', '.join(f'{name} {failures[name]}' for name in FAILURES if failures[name])}"
    )
    for line in _agreement_lines(known, pictures):
        print_line(console, line)
    for line in _click_lines(records):
        print_line(console, line)


def _verdict_table(
    name: str, reviews: Sequence[Review], pictures: dict[str, str], key: Callable[[Review], str]
) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name)
    for head in ("read", *VERDICTS, "usable", "", "median s"):
        table.add_column(head, justify="right", no_wrap=True)
    for each, group in groupby(sorted(reviews, key=key), key):
        rows = list(group)
        counts = Counter(review.verdict for review in rows)
        usable = proportion_interval(
            [review.verdict in VERDICTS[:2] for review in rows], [pictures[review.place] for review in rows]
        )
        value, interval = _interval_text(usable)
        seconds = f"{median(review.seconds for review in rows):.1f}"
        figures = (str(len(rows)), *(str(counts[verdict]) for verdict in VERDICTS), value, interval, seconds)
        table.add_row(Text(each, overflow="ellipsis", no_wrap=True), *figures)
    return table


def _agreement_lines(reviews: Sequence[Review], pictures: dict[str, str]) -> Iterable[str]:
    readers = sorted({review.reader for review in reviews})
    verdicts = {(review.reader, review.place): VERDICTS.index(review.verdict) for review in reviews}
    shared = [place for place in pictures if all((reader, place) in verdicts for reader in readers)]
    if len(readers) < 2 or not shared:
        yield f"Agreement: none to measure, {len(shared)} cases were read by all of {len(readers)} readers"
        return
    codes = [[verdicts[reader, place] for reader in readers] for place in shared]
    groups: list[Hashable] = [pictures[place] for place in shared]
    found = measure_agreement(codes, groups)
    kind = "Cohen's" if found.readers == 2 else "Fleiss'"
    parts = [f"{kind} kappa {_text(found.kappa)}"]
    parts += [f"with linear weights {_text(found.weighted)}"] if found.weighted is not None else []
    parts += [f"the same verdict in {_text(found.same)} of the pairs"]
    cases = f"{len(shared)} cases on {found.kappa.units} pictures read by all of {len(readers)} readers"
    yield f"Agreement on {cases}: {'; '.join(parts)}"


def _click_lines(records: RecordList) -> Iterable[str]:
    """Describe the clicks that a person made in the records, where their true masks are known."""
    clicks: list[PersonClick] = []
    runs: list[str] = []
    for number, entry in enumerate(records.entries):
        record = records.read(number)
        if record.truth is None or not any(step.actor == "person" for step in record.steps):
            continue
        made = compare_person_clicks(record, _predict(records, number, record))
        clicks += made
        runs += [entry.place] * len(made)
    if not clicks:
        return
    hits = proportion_interval([click.hit for click in clicks], runs)
    distances = mean_interval([click.distance for click in clicks], runs)
    yield f"Clicks of a person: {len(clicks)} in {len(set(runs))} runs; in brackets the simulator's in their place"
    yield f"in what was missed (positive) or too much (negative): {_text(hits)} [1]"
    yield f"pixels from the deepest pixel there: {_text(distances)} [0]"
    both = [(run, click) for run, click in zip(runs, clicks, strict=True) if click.simulated_gain is not None]
    if not both:
        gains = mean_interval([click.gain for click in clicks], runs)
        yield f"IoU gained: {_text(gains)} [not known: without the segmenter or a picture]"
        return
    kept = [run for run, _ in both]
    gains = mean_interval([click.gain for _, click in both], kept)
    simulated = mean_interval([click.simulated_gain for _, click in both], kept)
    yield f"IoU gained, by {len(both)} of them: {_text(gains)} [{_text(simulated)}]"


def _predict(records: RecordList, number: int, record: Trajectory) -> Predict | None:
    """Return the segmenter of a record on its picture, None where either is not here."""
    if record.segmenter_name not in {entry.form for entry in SEGMENTERS.entries if not entry.needs_source}:
        return None
    memo = get_memo(record.segmenter_name)
    try:
        image = records.open(number).image
    except InputError:
        return None
    if memo.fingerprint != record.segmenter:
        return None
    return lambda initial, prompts: memo.predict(image, initial, prompts).prediction.mask


def _text(interval: Interval) -> str:
    value, ends = _interval_text(interval)
    return f"{value} ({ends})" if ends else value


def _interval_text(interval: Interval) -> tuple[str, str]:
    if interval.value is None:
        return "-", ""
    ends = "" if interval.low is None or interval.high is None else f"{interval.low:.2f} to {interval.high:.2f}"
    return f"{interval.value:.2f}", ends
