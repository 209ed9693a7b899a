"""The command line: parse, call one door of `run`, print, exit code. No logic of the audit lives here.

Exit codes, strongest first: 5 integrity failure, 2 usage or policy error, 4 data or model error, 1 a rule is
breached, 6 a requested format is missing, 3 insufficient evidence, 0 every judged rule is met. An unexpected exception
exits 70, so that no crash reads as a breach; a run that is stopped exits 130 (SIGINT) or 143 (SIGTERM).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from rich.console import Console
from rich.markup import escape

from auditkit import __version__, importing
from auditkit.errors import MISSING, AuditError, PolicyError, strongest
from auditkit.launch import by_torchrun, joined, leads, spawn
from auditkit.processes import Stopped
from auditkit.terminal import (
    INTERRUPTED,
    LastingOutput,
    Terminated,
    clean_up,
    complain,
    history,
    print_verdicts,
    stages,
    terminable,
)

if TYPE_CHECKING:
    from auditkit.policy.frameworks import Framework
    from auditkit.processes import Processes

CRASH = 70
UNFINISHED = ".unfinished"  # as in ledger.unfinished, which loads numpy
PLAIN_WIDTH = 120  # where the output is no terminal: a log, a file
EPILOG = (
    "exit codes: 0 every judged rule is met · 1 a rule is breached · 2 usage or policy error · "
    "3 insufficient evidence · 4 data or model error · 5 integrity failure · 6 a requested format is missing · "
    "70 a defect of auditkit · 130, 143 stopped"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is written as its escape
            stream.reconfigure(errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    with terminable():
        code = _answer(arguments, errors)
    if code and by_torchrun() and leads():
        errors.print(f"auditkit ends with exit code {code}; torchrun itself ends with 1 for every code but 0")
    return code


def _answer(arguments: argparse.Namespace, errors: Console) -> int:
    """The exit code of a command, also where it fails or is stopped."""
    try:
        _require_epoch()
        code: int = arguments.call(arguments)
    except AuditError as error:
        # Among several processes the first one speaks for all; an error of another reaches it as its own.
        if leads():
            complain(errors, error)
        return error.exit_code
    except Stopped:
        return 0
    except BrokenPipeError:
        return CRASH
    except (KeyboardInterrupt, Terminated) as stop:
        for line in _left_behind(arguments) if leads() else ():
            errors.print(escape(line))
        return Terminated.exit_code if isinstance(stop, Terminated) else INTERRUPTED
    except (Exception, SystemExit) as error:  # the last door: no crash and no foreign exit may read as a verdict
        if leads():
            errors.print(f"[bold red]auditkit has a defect[/]: {escape(type(error).__name__)}: {escape(str(error))}")
            for line in _left_behind(arguments):
                errors.print(escape(line))
            errors.print("please report this with the command and the policy")
        if arguments.traceback:
            errors.print_exception()
        return CRASH
    return code


def _left_behind(arguments: argparse.Namespace) -> list[str]:
    """What a command that did not come to its end has left, and how to go on."""
    folder: Path | None = getattr(arguments, "published", None)
    if folder is not None:
        return [
            f"the audit is published in {folder}; what its manifest calls missing was not made",
            f"`auditkit render {folder}` makes it",
        ]
    if arguments.call is not _run:
        return ["stopped"]
    unfinished = arguments.out / arguments.policy.stem / UNFINISHED
    lasting = f"finished work is in {unfinished}, and the same command goes on from it"
    return ["no audit was written", *([lasting] if unfinished.is_dir() else [])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="auditkit", epilog=EPILOG,
        description="Audit a trained model for fairness and privacy under a written policy.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"auditkit {__version__}")
    parser.add_argument("--traceback", action="store_true", help="print the traceback of an unexpected error")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def verb(name: str, call: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        sub.set_defaults(call=call)
        return sub

    run = verb("run", _run, "audit under a policy and write the report")
    run.add_argument("policy", type=Path, help="the policy file (YAML)")
    run.add_argument("--out", type=Path, default=Path("audits"), help="folder for the run (default: audits)")
    run.add_argument(
        "--processes", type=_count, default=1, metavar="N", help="share the training records among N processes here"
    )
    run.add_argument("--as-of", type=_date, help="date of the audit, YYYY-MM-DD (default: SOURCE_DATE_EPOCH, or today)")
    check = verb("check", _check, "check policies, data and models without running the audit")
    check.add_argument("policies", type=Path, nargs="+", metavar="policy")
    for command in (run, check):
        command.add_argument(
            "--no-code", action="store_true", help="refuse policies whose model runs Python code that they name"
        )
    train = verb("train", _train, "train the tabular model that a policy describes, and store it")
    train.add_argument("policy", type=Path)
    train.add_argument("--replace", action="store_true", help="replace a model that is already there")
    render = verb("render", _render, "make the formats that a run lacks, or render an audit.json again")
    render.add_argument("result", type=Path, metavar="RUN|audit.json", help="the folder of a run, or an audit.json")
    render.add_argument("--out", type=Path, help="folder for the files (default: beside audit.json)")
    render.add_argument("--formats", default="html,pdf", help="comma-separated: html, pdf, json (default: html,pdf)")
    verify = verb("verify", _verify, "hold a run's files against their manifest")
    verify.add_argument("folder", type=Path)
    told = verb("history", history, "list the releases of a policy, their verdicts and what was withheld")
    told.add_argument("policy", type=Path)
    clean = verb("clean", clean_up, "delete restricted evidence whose retention is over; public files stay")
    for command in (told, clean):
        command.add_argument("--out", type=Path, default=Path("audits"), help="folder of the runs (default: audits)")
    clean.add_argument("--as-of", type=_date, help="date, YYYY-MM-DD (default: SOURCE_DATE_EPOCH, or today)")
    verb("schema", _schema, "print the policy's JSON Schema, for editors")
    init = verb("init", _init, "write a commented starter policy from the columns of a data file")
    init.add_argument("data", type=Path, help="a CSV or Parquet file")
    init.add_argument("--out", type=Path, help="the policy file to write (default: print it)")
    importing.add(verb)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from auditkit.policy.load import load
    from auditkit.policy.needs import require_no_code

    loaded = load(arguments.policy)  # a policy that cannot be read is answered before torch is loaded
    if arguments.no_code:
        require_no_code(loaded.policy.model, loaded.locate)
    if arguments.processes > 1:
        return spawn(_alone(arguments), arguments.processes)
    console = Console(file=cast(TextIO, LastingOutput(sys.stdout)), highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    with joined() as processes:
        if processes.first:
            return _lead(arguments, console, processes)
        from auditkit.run import assist

        assist(arguments.policy, out=arguments.out, as_of=arguments.as_of, processes=processes)
        return 0


def _lead(arguments: argparse.Namespace, console: Console, processes: Processes) -> int:
    """Audit with a bar for each stage, and print the verdicts."""
    with console.status("starting"):
        from auditkit.run import STAGES, run  # loads torch: seconds
    with stages(console, STAGES) as bars:
        outcome = run(
            arguments.policy, out=arguments.out, as_of=arguments.as_of, progress=bars.begin, processes=processes,
            resumed=lambda what: console.print(f"resumed: {what}"), worked=bars.worked,
            published=lambda folder: setattr(arguments, "published", folder),
        )  # fmt: skip
    print_verdicts(console, outcome.result)
    for file in outcome.files:
        console.print(f"  {escape(str(file))}", soft_wrap=True)
    for error in outcome.missing.values():
        complain(console, error)
        again = f"  the audit stands without it; `auditkit render {outcome.folder}` tries again"
        console.print(escape(again), soft_wrap=True)
    return outcome.exit_code


def _alone(arguments: argparse.Namespace) -> list[str]:
    """The same command for one of several processes."""
    dated = [] if arguments.as_of is None else ["--as-of", arguments.as_of.isoformat()]
    traced = ["--traceback"] if arguments.traceback else []
    return [*traced, "run", str(arguments.policy), "--out", str(arguments.out), *dated]


def _check(arguments: argparse.Namespace) -> int:
    from auditkit.preflight import Tables, check

    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    codes = []
    tables: Tables = {}
    for policy in arguments.policies:
        try:
            named: list[Framework] = []
            notes = _policy_notes(policy, no_code=arguments.no_code)
            prepared = check(policy, tables=tables, heard=named.extend)
        except AuditError as error:
            complain(errors, error)
            codes.append(error.exit_code)
        else:
            codes.append(0)
            console.print(f"[green]✓[/] {escape(str(policy))}: {escape(prepared)}")
            for note in (*notes, *(_told(named) if named else ())):
                console.print(f"[yellow]![/] {escape(str(policy))}: {escape(note)}")
    return strongest(codes)


def _policy_notes(policy: Path, *, no_code: bool) -> Sequence[str]:
    """What a policy's reader has to know of it: code that it runs, and keys that change nothing.

    Raises:
        PolicyError: the policy cannot be read, or runs code where none may run.
    """
    from auditkit.policy.effects import without_effect
    from auditkit.policy.load import load
    from auditkit.policy.needs import code_of, require_no_code

    loaded = load(policy)
    if no_code:
        require_no_code(loaded.policy.model, loaded.locate)
    notes = [
        f"{loaded.locate(*keys)}: '{'.'.join(keys)}' has no effect: {reason}"
        for keys, reason in without_effect(loaded.resolved)
    ]
    code = code_of(loaded.policy.model)
    if code:
        place = loaded.locate("model", "subject")
        notes.append(f"{place}: this policy runs its author's Python code ('{code}'); --no-code refuses such policies")
    return notes


def _told(named: Sequence[Framework]) -> Sequence[str]:
    """What has to be told of the rule sets today."""
    from auditkit.policy.frameworks import told
    from auditkit.run import today

    return told(named, today())


def _train(arguments: argparse.Namespace) -> int:
    from auditkit.run import train

    console = Console(highlight=False, soft_wrap=True)
    with console.status("training"):
        folder, facts = train(arguments.policy, replace=arguments.replace)
    console.print(f"[green]✓[/] {escape(str(folder))}")
    for name, value in facts:
        console.print(f"  {escape(name)}: {escape(value)}")
    return 0


def _render(arguments: argparse.Namespace) -> int:
    from auditkit.run import complete_run, render_file

    if arguments.result.is_dir():
        added = complete_run(arguments.result)
        sys.stdout.write("".join(f"{file}\n" for file in added) or "this run lacks no format\n")
        return 0
    formats = tuple(name.strip() for name in arguments.formats.split(",") if name.strip())
    for file in render_file(arguments.result, out=arguments.out or arguments.result.parent, formats=formats):
        sys.stdout.write(f"{file}\n")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from auditkit.ledger.evidence import missing_formats, verify
    from auditkit.ledger.manifest import UNSIGNED

    names = verify(arguments.folder)
    missing = missing_formats(arguments.folder)
    sys.stdout.write("".join(f"{name}: as in the manifest\n" for name in names))
    sys.stdout.write("".join(f"{name}: missing; `auditkit render {arguments.folder}` makes it\n" for name in missing))
    sys.stdout.write(f"note: {UNSIGNED}\n")
    return MISSING if missing else 0


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from auditkit.policy.jsonschema import schema

    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
    return 0


def _init(arguments: argparse.Namespace) -> int:
    from auditkit.run import write_starter

    text = write_starter(arguments.data, arguments.out)
    sys.stdout.write(f"{arguments.out}\n" if arguments.out else text)
    return 0


def _require_epoch() -> None:
    """Complain of a broken SOURCE_DATE_EPOCH here: numpy reads it when it is loaded, and would crash."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not epoch.isascii() or not epoch.isdigit():
        raise PolicyError(f"SOURCE_DATE_EPOCH is {epoch!r}; set it to whole seconds since 1970, or unset it")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write YYYY-MM-DD") from error


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; write 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
