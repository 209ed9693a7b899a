"""The remaining time that the command line shows: measured, of the last part of the work, or not said at all."""

from __future__ import annotations

import io

from rich.console import Console

from auditkit.terminal import Remaining, span, stages


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(clock: Clock, steps: list[tuple[float, float]], total: float = 100.0) -> Remaining:
    """Steps of (seconds since the last, work done so far)."""
    remaining = Remaining(clock)
    for seconds, done in steps:
        clock.now += seconds
        remaining.told(done, total)
    return remaining


def test_steady_work_gives_what_is_left_and_it_runs_down() -> None:
    clock = Clock()
    remaining = run(clock, [(1.0, float(k)) for k in range(1, 21)])
    assert remaining.seconds() == 80.0
    clock.now += 30
    assert remaining.seconds() == 50.0


def test_nothing_is_said_before_enough_was_seen() -> None:
    clock = Clock()
    assert Remaining(clock).seconds() is None
    assert run(clock, [(0.0, 0.0), (1.0, 50.0)]).seconds() is None, "half of the work, but one second"
    assert run(clock, [(0.0, 0.0), (5.0, 2.0), (5.0, 4.0)]).seconds() is None, "ten seconds, but a twenty-fifth"
    assert run(clock, [(0.0, 0.0), (5.0, 2.0), (5.0, 6.0)]).seconds() is not None


def test_the_rate_is_that_of_the_last_part() -> None:
    """What was taken up from an earlier run comes at once, and the machine may slow down."""
    quick = [(0.01, float(k)) for k in range(40)]
    slow = [(2.0, 40.0 + k) for k in range(12)]
    remaining = run(Clock(), quick + slow)
    assert remaining.seconds() == (100 - 51) * 2.0


def test_a_time_that_has_passed_without_news_is_not_said_again() -> None:
    clock = Clock()
    remaining = run(clock, [(1.0, float(k)) for k in range(1, 99)])
    assert remaining.seconds() == 2.0
    clock.now += 3
    assert remaining.seconds() is None


def test_another_work_begins_anew() -> None:
    clock = Clock()
    remaining = run(clock, [(1.0, float(k)) for k in range(1, 50)])
    remaining.told(1.0, 7.0)
    assert remaining.seconds() is None


def test_spans_are_no_finer_than_they_are_known() -> None:
    assert [span(s) for s in (None, 3, 42, 200, 9000)] == [
        "", "a few seconds left", "about 40 s left", "about 3 min left", "about 2.5 h left"
    ]  # fmt: skip


def test_a_bar_shows_the_time_left_only_where_the_work_is_known() -> None:
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with stages(console, ("bank", "influence"), clock) as bars:
        bars.begin("bank")
        for k in range(1, 31):
            clock.now += 2
            bars.worked(float(k), 100.0)
        console.print("first")
        shown = out.getvalue()
        bars.begin("influence")
        clock.now += 60
        out.truncate(0)
        console.print("second")
    assert "about 2 min left" in shown
    assert "influence" in out.getvalue() and "left" not in out.getvalue()
