"""What the command line shows: a bar for each stage, verdicts as a table, complaints one a line."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TextIO

from rich.console import Console
from rich.markup import escape

from auditkit.errors import AuditError

if TYPE_CHECKING:
    from auditkit.result import AuditResult

STYLES = {"meets": "green", "breaches": "bold red", "insufficient-evidence": "yellow", "not-applicable": "dim"}
SIGNS = {"meets": "✓", "breaches": "✗", "insufficient-evidence": "?", "not-applicable": "–"}


INTERRUPTED: Final = 130
"""Exit code of a command that SIGINT ended."""


class Terminated(BaseException):
    """SIGTERM asked this process to end; raised in the main thread, so that everything is cleaned up on the way."""

    exit_code: ClassVar[int] = 143


@contextmanager
def terminable() -> Iterator[None]:
    """For as long as the block lasts, SIGTERM raises Terminated; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)  # the cleaning up is not interrupted again
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LastingOutput(io.TextIOBase):
    """An output that cannot fail what it tells of: once the stream refuses, the rest is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person may be looking on."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream, whose size is asked for.

        Raises:
            OSError: it has none.
        """
        if self._stream is None:
            raise OSError("the output is gone")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, unless the stream has refused before."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, unless the stream has refused before."""
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            act(self._stream)
        except (OSError, ValueError):  # a pipe that closed, a full disk, a character that the stream cannot write
            self._stream = None
            with suppress(OSError, ValueError):  # else the interpreter flushes again when it ends, and fails then
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Remaining:
    """How long a work whose total is known will still take, by the rate of its last part.

    Nothing is said before enough of it was seen (SHARE of the work and SECONDS of it), nor once the time said has
    passed without news. What was taken up from an earlier run comes in at once, so the rate goes by no more than the
    last RECENT of what was reported.
    """

    SHARE = 0.05
    SECONDS = 2.0
    RECENT = 10

    def __init__(self, clock: Callable[[], float]) -> None:
        """The clock gives seconds that never fall."""
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque(maxlen=self.RECENT)
        self._first: tuple[float, float] | None = None
        self._total = 0.0

    def told(self, done: float, total: float) -> None:
        """So much of so much is done, in any unit of work that is alike throughout."""
        now = self._clock()
        if self._first is None or total != self._total or done < self._seen[-1][1]:
            self._first, self._total = (now, done), total
            self._seen.clear()
        self._seen.append((now, done))

    def seconds(self) -> float | None:
        """Seconds still to go; None where nothing honest can be said."""
        if self._first is None or len(self._seen) < 2:
            return None
        (began, before), (last, done) = self._seen[0], self._seen[-1]
        if last - self._first[0] < self.SECONDS or done - self._first[1] < self.SHARE * self._total or done <= before:
            return None
        left = (self._total - done) * (last - began) / (done - before) - (self._clock() - last)
        return left if left >= 0 else None


def span(seconds: float | None) -> str:
    """`about 40 s left`, rounded as roughly as it is known; empty where there is nothing to say."""
    if seconds is None:
        return ""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 90:
        return f"about {10 * round(seconds / 10)} s left"
    return f"about {round(seconds / 60)} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


@dataclass(frozen=True)
class Bars:
    """A bar for each stage: `begin` is told the name of each as it begins, `worked` how far the one that runs is.

    Only a stage whose total work is known has a share done and a remaining time; the others show that they run.
    """

    begin: Callable[[str], None]
    worked: Callable[[float, float], None]


@contextmanager
def stages(
    console: Console, names: Sequence[str], clock: Callable[[], float] = time.monotonic
) -> Iterator[Bars]:
    """A bar for each stage, for as long as they last; a line for each as it begins where nobody looks on."""
    if not console.is_terminal:
        numbers = {name: f"{number} of {len(names)}" for number, name in enumerate(names, start=1)}
        yield Bars(lambda name: console.print(f"{numbers[name]}: {name}"), lambda done, total: None)
        return
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    remaining, running = Remaining(clock), [names[0]]

    class Left(ProgressColumn):
        """What is left of the stage that runs."""

        def render(self, task: Task) -> Text:
            now = task.description == running[0] and task.total is not None and not task.finished
            return Text(span(remaining.seconds()) if now else "")

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn(), Left())
    with Progress(*columns, console=console) as bars:
        tasks = {name: bars.add_task(name, total=None, start=False, visible=False) for name in names}

        def begin(stage: str) -> None:
            for name in names[: names.index(stage)]:
                bars.update(tasks[name], total=1, completed=1)
            running[0] = stage
            bars.start_task(tasks[stage])
            bars.update(tasks[stage], visible=True, refresh=True)

        def worked(done: float, total: float) -> None:
            if total > 0:
                remaining.told(done, total)
                bars.update(tasks[running[0]], total=total, completed=done, refresh=True)

        yield Bars(begin, worked)
        for task in tasks.values():
            bars.update(task, total=1, completed=1)


def complain(console: Console, error: AuditError) -> None:
    """Every complaint of an error."""
    console.print(f"[bold red]{escape(error.title)}[/]")
    for complaint in error.complaints:
        console.print(f"  {escape(str(complaint))}", soft_wrap=True)


def print_verdicts(console: Console, result: AuditResult) -> None:
    """One row a rule, then the conclusion."""
    from rich.table import Table

    table = Table(title=result.title, title_justify="left", show_lines=False)
    for heading, fixed in (("Rule", False), ("Verdict", True), ("Severity", True), ("Finding", False)):
        table.add_column(heading, no_wrap=fixed, overflow="fold")
    for finding in result.findings:
        style = STYLES[finding.verdict]
        sign = f"[{style}]{SIGNS[finding.verdict]} {finding.verdict.replace('-', ' ')}[/]"
        table.add_row(escape(finding.id), sign, finding.severity, escape(finding.sentence))
    console.print(table)
    style = STYLES[result.conclusion.verdict]
    console.print(f"[{style}]{escape(result.conclusion.sentence)}[/]")


def history(arguments: argparse.Namespace) -> int:
    """`auditkit history`: one line a release, oldest first; what the guard withheld, and clean-ups, below it."""
    from auditkit.ledger.journal import CLEANED, rows

    listed = rows(arguments.out / arguments.policy.stem)
    for row in listed:
        if row["event"] == CLEANED:
            sys.stdout.write(f"{row['as_of']}  {row['run_id']}  {len(row['files'])} restricted files deleted\n")
            continue
        verdicts = ", ".join(f"{rule} {verdict}" for rule, verdict in row["verdicts"].items()) or "no rule"
        sys.stdout.write(f"{row['as_of']}  {row['run_id']}  exit code {row['exit_code']}: {verdicts}\n")
        if row["evidence_expires"]:
            sys.stdout.write(f"    evidence is kept until {row['evidence_expires']}\n")
        for withheld in row["withheld"]:
            sys.stdout.write(f"    withheld beside an earlier release: {withheld}\n")
    if not listed:
        sys.stdout.write("nothing was released under this policy here\n")
    return 0


def clean_up(arguments: argparse.Namespace) -> int:
    """`auditkit clean`: delete restricted evidence whose retention is over."""
    from auditkit.ledger.retention import clean
    from auditkit.run import today

    for folder, count in clean(arguments.out, as_of=arguments.as_of or today()):
        sys.stdout.write(f"{folder}: {count} files deleted\n")
    return 0
