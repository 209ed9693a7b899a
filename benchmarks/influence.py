"""auditkit against other influence libraries: the same work in the same run (`make benchmark`).

    python benchmarks/influence.py                         everything, about 40 minutes on two cores
    python benchmarks/influence.py --quick                 small sizes, to see that everything works
    python benchmarks/influence.py --only speed --peers auditkit kronfluence

Writes benchmarks/results/influence-<date>.md, .json and .svg. What is measured and how to read it: README.md.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import agreement, report
from benchmarks.contest import REFERENCE, SIZES, Found
from benchmarks.peers import NAMES
from benchmarks.report import Row, Section
from benchmarks.runner import ROOT, Outcome, Plan, baseline, peers, plans, run_all
from benchmarks.tasks import leave_one_out, speed, subsets

TASKS = ("loo", "digits", "compas", "speed", "agreement")
QUICK_SIZE, QUICK_TRIES = SIZES[0], 2


def main() -> None:
    """Run what was asked for and write it down."""
    asked = _arguments()
    loaded, absent = peers(asked.peers)
    for name, why in absent.items():
        print(f"{name}: {why}")
    sections = []
    with tempfile.TemporaryDirectory() as folder:
        for task in asked.only:
            print(f"\n{task}", flush=True)
            where = Path(folder) / task
            where.mkdir()
            sections.append(_section(task, where, loaded, asked))
    when = datetime.now(UTC)
    for file in report.write(sections, absent, when=when, quick=asked.quick, folder=Path(asked.results)):
        print(f"wrote {file}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="auditkit against other influence libraries")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), help="pieces of work")
    parser.add_argument("--peers", nargs="+", choices=NAMES, default=list(NAMES), help="libraries")
    parser.add_argument("--ways", nargs="+", help="methods by the keys in peers/, as `ekfac`; all if not given")
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="rows for speed")
    parser.add_argument("--limit", type=int, default=420, help="seconds for each library at each piece of work")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, measures nothing")
    parser.add_argument("--results", default=str(ROOT / "benchmarks" / "results"), help="folder to write to")
    return parser.parse_args()


def _section(task: str, folder: Path, loaded: Any, asked: argparse.Namespace) -> Section:
    if task == "speed":
        return _speed(folder, loaded, asked)
    if task == "agreement":
        return agreement.section(folder, quick=asked.quick)
    return _leave_one_out(folder, loaded, asked) if task == "loo" else _subsets(task, folder, loaded, asked)


def _leave_one_out(folder: Path, loaded: Any, asked: argparse.Namespace) -> Section:
    world = leave_one_out.world()
    actual, known = leave_one_out.truth(world), folder / "known.pt"
    torch.save({}, known)
    rows = []
    for outcome in run_all(_chosen(plans(loaded, "loo", known), asked), folder, limit=asked.limit, together=2):
        rows.append(_row(outcome, lambda found: leave_one_out.figures(world, found, actual)))
    return Section("loo", leave_one_out.TITLE, (leave_one_out.__doc__ or "").strip(), tuple(rows))


def _subsets(task: str, folder: Path, loaded: Any, asked: argparse.Namespace) -> Section:
    title = f"Linear datamodelling score, {task if task == 'digits' else 'COMPAS'}"
    try:
        world = subsets.world_of(task)
    except FileNotFoundError:
        return Section(task, title, "Skipped: no data at ../shared/data/compas relative to the repository.", ())
    truth, known = subsets.truth(world, subsets.QUICK if asked.quick else subsets.FULL), folder / "known.pt"
    torch.save(truth, known)
    rows = []
    wanted = _chosen(plans(loaded, task, known), asked)
    for outcome in run_all(wanted, folder, limit=asked.limit, together=2):
        bank = {"epochs to train the bank": subsets.bank_epochs(world, truth)} if "bank" in outcome.text else {}
        rows.append(_row(outcome, lambda found, bank=bank: subsets.shown(world, found.scores.numpy(), truth) | bank))
    return Section(task, title, subsets.told(world, truth), tuple(rows))


def _speed(folder: Path, loaded: Any, asked: argparse.Namespace) -> Section:
    sizes = (QUICK_SIZE,) if asked.quick else tuple(asked.sizes)
    below, rows, wanted = {}, [], []
    for size in sizes:
        known = folder / f"{size}.pt"
        speed.prepare(size, known)
        below[size] = baseline(size, known, folder)
        wanted += _small(loaded, known) if asked.quick else plans(loaded, "speed", known, (size,))
    outcomes = []
    for outcome in run_all(_chosen(wanted, asked), folder, limit=asked.limit, together=1):
        peak = {} if outcome.answer is None else {"peak MiB": (outcome.answer.peak - below[outcome.size]) / 2**20}
        rows.append(_row(outcome, lambda _, peak=peak: peak))
        outcomes.append(outcome)
    rows = [_with_error(row, outcome, outcomes) for row, outcome in zip(rows, outcomes, strict=True)]
    return Section("speed", speed.TITLE, (speed.__doc__ or "").strip(), tuple(rows))


def _chosen(wanted: list[Plan], asked: argparse.Namespace) -> list[Plan]:
    """The ways that were asked for, with few dampings in a quick run."""
    kept = [plan for plan in wanted if not asked.ways or plan.way in asked.ways]
    return [replace(plan, tries=QUICK_TRIES) for plan in kept] if asked.quick else kept


def _with_error(row: Row, outcome: Outcome, all_of_them: list[Outcome]) -> Row:
    """Auditkit's row with the worst slice's error, relative to its norm, against the uncompressed scores."""
    if outcome.peer != "auditkit" or outcome.found is None or outcome.text == REFERENCE:
        return row
    for other in all_of_them:
        if other.text == REFERENCE and other.size == outcome.size and other.found is not None:
            truth = other.found.scores
            error = float(((outcome.found.scores - truth).norm(dim=0) / truth.norm(dim=0)).max())
            print(f"  worst slice's error at {outcome.size:,} records: {error:.2e}")
            return replace(row, figures=row.figures | {"worst slice's error": error})
    return row


def _small(loaded: Any, known: Path) -> list[Plan]:
    """Every way once, at a size that only shows that it works."""
    every = {(plan.peer, plan.way): plan for plan in plans(loaded, "speed", known, SIZES)}
    return [replace(plan, size=QUICK_SIZE) for plan in every.values()]


def _row(outcome: Outcome, figures: Any) -> Row:
    found: Found | None = outcome.found
    row = Row.of(outcome, {} if found is None else figures(found))
    print(" ", row.line(), flush=True)
    return row


if __name__ == "__main__":
    main()
