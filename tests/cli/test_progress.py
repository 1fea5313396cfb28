"""How a run is shown while it goes on: the sums, lines in a log, the live picture."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from forebay.cli import columns, live, views
from forebay.cli.progress import RunProgress
from forebay.events import Event, What

NAMES = ["clean_links_mapper", "text_length_filter", "document_deduplicator"]


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def planned(shards: int = 4, names: list[str] = NAMES) -> tuple[RunProgress, Clock]:
    clock = Clock()
    progress = RunProgress(clock)
    progress.note(
        Event(What.PROGRESS, facts={"phase": "plan", "operators": list(names), "shards": shards, "rows": 1200})
    )
    return progress, clock


def did(index: int, *, reused: bool = False, rows: int = 100, kept: int = 90, seconds: float = 0.5) -> Event:
    facts = {"phase": "operator", "index": index, "reused": reused, "rows_in": rows, "rows_out": kept}
    return Event(What.PROGRESS, seconds=seconds, facts=facts)


def drawn(progress: RunProgress, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, legacy_windows=False)
    console.print(live.picture(progress, "demo", width, height))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_results_are_counted_apart() -> None:
    progress, _ = planned()
    for event in (did(0), did(0, reused=True), did(1, kept=10)):
        assert progress.note(event)
    assert (progress.done, progress.computed, progress.total) == (3, 2, 12)
    first = progress.operators[0]
    assert (first.computed, first.reused, first.rows_in, first.rows_out, first.seconds) == (1, 1, 200, 180, 0.5)


def test_other_events_change_nothing() -> None:
    progress, _ = planned()
    assert not progress.note(Event(What.HIT, key="ab"))
    assert progress.done == 0


def test_the_time_left_is_that_of_the_shards_that_remain() -> None:
    progress, clock = planned(shards=4)
    assert progress.seconds_left is None
    for index, seconds in enumerate((1.0, 2.0, 3.0)):
        progress.note(did(index, seconds=seconds))
    clock.now += 3.0  # two workers: 6 s of work in 3 s
    assert progress.seconds_left == 9.0
    for _ in range(3):
        for index in range(3):
            progress.note(did(index, reused=True))
    assert progress.seconds_left == 0.0


def test_an_operator_not_yet_begun_counts_as_the_mean_of_the_others() -> None:
    progress, clock = planned(shards=2)
    progress.note(did(0, seconds=1.0))
    progress.note(did(1, seconds=3.0))
    clock.now += 4.0
    assert progress.seconds_left == 1.0 + 3.0 + 2 * 2.0


def test_a_log_gets_few_lines() -> None:
    written: list[str] = []
    view = views.LogView(written.append)
    progress, clock = planned(shards=1000)
    for _ in range(1000):
        clock.now += 0.6  # ten minutes in all
        progress.note(did(0))
        view.show(progress)
    assert 10 <= len(written) <= 14
    assert written[0] == "forebay: 9 of 3,000 results, 1 rows/s, at clean_links_mapper"
    assert written[-1].startswith("forebay: ")


def test_a_short_run_writes_nothing_to_a_log() -> None:
    written: list[str] = []
    view = views.LogView(written.append)
    progress, clock = planned()
    clock.now += 4.9
    progress.note(did(0))
    view.show(progress)
    assert written == []


def test_before_the_plan_a_line_says_what_is_done() -> None:
    progress = RunProgress(Clock())
    progress.note(Event(What.PROGRESS, message="reading corpus.jsonl"))
    assert views.summary(progress) == "reading corpus.jsonl, 0 s so far"
    assert drawn(progress) == ["demo  reading corpus.jsonl …"]


def test_the_picture_shows_every_operator_and_the_whole() -> None:
    progress, clock = planned(shards=2)
    progress.note(did(0))
    progress.note(did(0, reused=True))
    progress.note(did(1))
    clock.now += 1
    lines = drawn(progress)
    assert lines[0].split() == ["demo", "shards", "reused", "rows", "in", "→", "out", "rows/s"]
    assert "400 rows/s" in lines[4]
    assert lines[1].split() == ["✓", NAMES[0], "2/2", "1", "200", "→", "180", "200"]
    assert lines[2].split() == ["▸", NAMES[1], "1/2", "100", "→", "90", "200"]
    assert lines[3].split() == [NAMES[2], "0/2"]
    assert "3 of 6 results" in lines[4]
    assert "left" in lines[4]


@given(st.integers(1, 40), st.integers(80, 140), st.integers(6, 60), st.integers(0, 10**9))
def test_the_picture_fits_the_terminal(operators: int, width: int, height: int, rows: int) -> None:
    progress, clock = planned(names=[f"number_{n}_mapper" for n in range(operators)])
    progress.note(did(operators // 2, rows=rows, kept=rows))
    clock.now += 1
    lines = drawn(progress, width, height)
    assert len(lines) <= height
    for line in lines:
        assert columns.cells(line) <= width
    assert any(f"number_{operators // 2}_mapper" in line for line in lines) or height < operators + 4


def test_quiet_is_quiet(capsys) -> None:
    with views.watching("demo", quiet=True, plain=False) as hook:
        hook(Event(What.WARNING, "something"))
        hook(did(0))
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_told_once_on_standard_error(capsys) -> None:
    with views.watching("demo", quiet=False, plain=True) as hook:
        hook(Event(What.WARNING, "something"))
        hook(Event(What.WARNING, "something"))
        hook(Event(What.QUARANTINE, "object 9f3a is damaged; computed again"))
    assert capsys.readouterr() == (
        "",
        "forebay: warning: something\nforebay: damaged: object 9f3a is damaged; computed again\n",
    )


def test_lines_in_a_log_come_ever_more_rarely() -> None:
    pace = views.Pace()
    due = [second for second in range(600) if pace.due(second)]
    assert due == [5, 15, 35, 75, 135, 195, 255, 315, 375, 435, 495, 555]


def test_a_ticker_in_a_log_is_silent_at_first(capsys) -> None:
    ticker = views.Ticker()
    ticker.tell("1 of 2")
    ticker.close()
    assert capsys.readouterr() == ("", "")
