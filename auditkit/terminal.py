"""What the command line shows: a bar for each stage, verdicts as a table, complaints one a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from auditkit.errors import AuditError

if TYPE_CHECKING:
    from auditkit.result import AuditResult

STYLES = {"meets": "green", "breaches": "bold red", "insufficient-evidence": "yellow", "not-applicable": "dim"}
SIGNS = {"meets": "✓", "breaches": "✗", "insufficient-evidence": "?", "not-applicable": "–"}


@contextmanager
def stages(console: Console, names: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """A bar for each stage; what is given is told the name of each as it begins."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {name: bars.add_task(name, total=1, start=False, visible=False) for name in names}

        def begin(stage: str) -> None:
            for name in names[: names.index(stage)]:
                bars.update(tasks[name], total=1, completed=1)
            bars.start_task(tasks[stage])
            bars.update(tasks[stage], total=None, visible=True)

        yield begin
        for task in tasks.values():
            bars.update(task, total=1, completed=1)


def complain(console: Console, error: AuditError) -> None:
    """Every complaint of an error."""
    console.print(f"[bold red]{escape(error.title)}[/]")
    for complaint in error.complaints:
        console.print(f"  {escape(str(complaint))}")


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
