"""How long restricted evidence is kept, and its deletion when that time is over.

The manifest of `restricted/` carries the date. What the guard needs of a release (keyed digests, no data) stays, and
so does everything public.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.evidence import OWNER_FILE
from auditkit.ledger.journal import CLEANED, record
from auditkit.ledger.manifest import MANIFEST, make_manifest, read_manifest
from auditkit.ledger.released import RECORD
from auditkit.pieces import write_whole

KEPT: Final = frozenset({MANIFEST, f"{RECORD}.safetensors"})


def expiry(as_of: date, duration: str | None) -> str:
    """The last day on which evidence of an audit as of `as_of` is kept: ISO date; empty where nothing is stated.

    A month ends on the last day that the month has: 31 January and one month is 28 or 29 February.
    """
    if duration is None:
        return ""
    number, unit = duration.split()
    count, unit = int(number), unit.rstrip("s")
    if unit in ("day", "week"):
        return (as_of + timedelta(days=count * (7 if unit == "week" else 1))).isoformat()
    months = as_of.month - 1 + count * (12 if unit == "year" else 1)
    year, month = as_of.year + months // 12, months % 12 + 1
    return date(year, month, min(as_of.day, calendar.monthrange(year, month)[1])).isoformat()


def clean(out: Path, *, as_of: date) -> tuple[tuple[Path, int], ...]:
    """Delete restricted evidence whose last day is before `as_of`; folder and number of files of each.

    No link is followed, whatever it stands for: only files that lie in a run's own folder are deleted. The manifest is
    rewritten before the files go, so that a clean-up that is stopped is seen by `verify` and ended by the next one.

    Raises:
        IntegrityError: a manifest cannot be read, or a folder lies among the files.
    """
    done = []
    for restricted in _restricted(out):
        last = _expires(restricted)
        gone = [file for file in sorted(restricted.iterdir()) if file.name not in KEPT]
        if not last or date.fromisoformat(last) >= as_of or not gone:
            continue
        folders = [file for file in gone if file.is_dir() and not file.is_symlink()]
        if folders:
            hint = "no run writes one there; look at it and remove it"
            raise IntegrityError([Complaint("a folder lies among the evidence", str(file), hint) for file in folders])
        extra = {"cleaned": as_of.isoformat(), "expires": last}
        write_whole(restricted / MANIFEST, make_manifest(restricted, extra, only=KEPT))
        (restricted / MANIFEST).chmod(OWNER_FILE)
        for file in gone:
            file.unlink()
        run = restricted.parent
        row = {"event": CLEANED, "run_id": run.name, "as_of": as_of.isoformat(), "files": [file.name for file in gone]}
        record(run.parent, row)
        done.append((restricted, len(gone)))
    return tuple(done)


def _restricted(out: Path) -> Iterator[Path]:
    """Restricted folders of finished runs; none that is reached through a link."""
    for folder in sorted(out.glob("*/*/restricted")):
        run = folder.parent
        linked = any(place.is_symlink() for place in (folder, run, run.parent))
        if not linked and (folder / MANIFEST).is_file() and not run.name.startswith("."):
            yield folder


def _expires(restricted: Path) -> str:
    last = read_manifest(restricted).expires
    try:
        return date.fromisoformat(last).isoformat() if last else ""
    except ValueError as error:
        raise IntegrityError(Complaint("the manifest is not readable", str(restricted / MANIFEST))) from error
