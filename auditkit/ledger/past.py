"""A run beside the earlier releases of its policy: they are read before any heavy work, and it is entered after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from auditkit.ledger.journal import record, release_row
from auditkit.ledger.released import earlier, keep_key, key_for, put
from auditkit.ledger.retention import expiry
from auditkit.policy.schema import Policy
from auditkit.release.cells import Cells
from auditkit.release.door import Beside, key_of
from auditkit.result import AuditResult, Stamp
from auditkit.subject.types import Table


@dataclass(frozen=True)
class Past:
    """The earlier releases of one policy, and where this one is entered."""

    place: Path
    beside: Beside
    outside: str | None
    expires: str
    """Last day on which this run's evidence is kept; empty where none is stated."""

    def put(self, folder: Path, cells: Cells | None) -> tuple[Path, ...]:
        """Write what this release counts into a folder from which it is copied, and keep the key."""
        if cells is None:
            return ()
        keep_key(self.place, self.beside.key, outside=self.outside)
        return (put(folder, cells, self.beside.key),)

    def enter(self, result: AuditResult, *, held: Sequence[str]) -> None:
        """Write the release into the journal, once its files are in place."""
        record(self.place, release_row(result, held=held, expires=self.expires))


def look_back(place: Path, stamp: Stamp, policy: Policy, table: Table, *, outside: str | None) -> Past:
    """Read what every earlier release of the policy's folder counted.

    Args:
        place: the policy's folder. stamp: of this run, whose own earlier release it replaces.
        policy, table: what is audited. outside: the key from outside, or None.

    Raises:
        IntegrityError: an earlier release, the journal or the key cannot be read: nothing may be published then.
    """
    key = key_for(place, but=stamp.run_id, outside=outside, make=lambda: key_of(table))
    cells = earlier(place, key=key, but=stamp.run_id)
    expires = expiry(date.fromisoformat(stamp.as_of), policy.privacy.retention)
    return Past(place, Beside(key, tuple(cells.values())), outside, expires)
