"""The run database: one line of JSON per release of a policy, and per clean-up of its evidence.

It lies beside the policies' folders, in `<out>/.ledger/<policy>/journal.jsonl`, readable by its owner only. A run that
is repeated replaces its own line, so the journal holds what is on the disk and nothing twice. It holds no clock.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.evidence import OWNER_FILE, OWNER_FOLDER
from auditkit.pieces import write_whole
from auditkit.result import AuditResult

LEDGER: Final = ".ledger"
JOURNAL: Final = "journal.jsonl"
RELEASED: Final = "released"
CLEANED: Final = "cleaned"
Row = dict[str, Any]


def ledger_of(place: Path, *, make: bool = False) -> Path:
    """The ledger's folder for the policy's folder `place`."""
    folder = place.parent / LEDGER / place.name
    if make:
        for made in (folder.parent, folder):
            made.mkdir(mode=OWNER_FOLDER, parents=True, exist_ok=True)
    return folder


def release_row(result: AuditResult, *, held: Sequence[str], expires: str) -> Row:
    """What the journal says of a release.

    Args:
        result: as published. held: what the guard withheld. expires: when its evidence may be deleted, or empty.
    """
    return {
        "event": RELEASED, "run_id": result.stamp.run_id, "as_of": result.stamp.as_of,
        "auditkit": result.stamp.auditkit, "digests": result.stamp.digests,
        "verdicts": {finding.id: finding.verdict for finding in result.findings},
        "exit_code": result.conclusion.exit_code, "withheld": list(held), "evidence_expires": expires,
    }  # fmt: skip


def record(place: Path, row: Mapping[str, Any]) -> None:
    """Write a line; a line of the same event and run is replaced.

    Raises:
        IntegrityError: the journal cannot be read.
    """
    folder = ledger_of(place, make=True)

    def key(line: Mapping[str, Any]) -> tuple[object, object]:
        return line.get("event"), line.get("run_id")

    with _locked(folder):
        lines = [dict(row) if key(line) == key(row) else line for line in rows(place)]
        if dict(row) not in lines:
            lines.append(dict(row))
        content = "".join(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in lines)
        write_whole(folder / JOURNAL, content.encode())
        (folder / JOURNAL).chmod(OWNER_FILE)


def rows(place: Path) -> tuple[Row, ...]:
    """Every line, oldest first; none where nothing was released.

    Raises:
        IntegrityError: the journal is not what was written.
    """
    file = ledger_of(place) / JOURNAL
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file) from error
    return tuple(_row(line, file) for line in lines if line.strip())


def released_runs(place: Path) -> tuple[str, ...]:
    """Run ids of every release that the journal or the policy's folder knows of, oldest first.

    Raises:
        IntegrityError: the journal is not what was written.
    """
    told = [str(row["run_id"]) for row in rows(place) if row["event"] == RELEASED]
    lying = sorted(folder.parent.name for folder in place.glob("*/public") if folder.is_dir())
    return tuple(dict.fromkeys((*told, *lying)))


def _row(line: str, file: Path) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _unreadable(file) from error
    if not isinstance(row, dict) or not {"event", "run_id"} <= set(row):
        raise _unreadable(file)
    return row


def _unreadable(file: Path) -> IntegrityError:
    hint = "restore it from a backup; without it no release can be held against the earlier ones"
    return IntegrityError(Complaint("the journal of releases cannot be read", str(file), hint))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


