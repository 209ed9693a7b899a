"""What each release of a policy counted: keyed digests of persons by cell, kept for the differencing guard.

The record lies in the run's restricted folder and outlives its evidence: digests tell nothing without the key. The key
is given from outside (`AUDITKIT_KEY`), or kept in the ledger with owner-only permissions; with neither it is made of
the first release's data, so that whoever lacks the data cannot make it, and the same data give the same bytes.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.evidence import OWNER_FILE
from auditkit.ledger.journal import ledger_of, released_runs
from auditkit.pieces import Pieces, write_whole
from auditkit.release.cells import Cells, Name

RECORD: Final = "released_cells"
KEY: Final = "key"
SHORTEST_KEY: Final = 16
_TEXT: Final = "ascii"


def key_for(place: Path, *, but: str, outside: str | None, make: Callable[[], bytes]) -> bytes:
    """The key under which this policy's releases are compared.

    Args:
        place: the policy's folder. but: the run that is under way, which replaces its own release.
        outside: the key given from outside, or None. make: makes one of the data.

    Raises:
        IntegrityError: the key from outside is too short to keep anything, or there are releases and no key.
    """
    if outside is not None:
        if len(outside) < SHORTEST_KEY:
            message = f"AUDITKIT_KEY has fewer than {SHORTEST_KEY} characters"
            raise IntegrityError(Complaint(message, hint="use a longer one"))
        return outside.encode()
    file = ledger_of(place) / KEY
    if file.exists():
        return file.read_bytes()
    if set(released_runs(place)) - {but}:
        hint = "restore it from a backup, or give the key from outside as AUDITKIT_KEY"
        message = "there are earlier releases, and the key to compare with them is not there"
        raise IntegrityError(Complaint(message, str(file), hint))
    return make()


def keep_key(place: Path, key: bytes, *, outside: str | None) -> None:
    """Keep the key in the ledger for later releases, unless it was given from outside."""
    file = ledger_of(place, make=True) / KEY
    if outside is None and not file.exists():
        write_whole(file, key)
        file.chmod(OWNER_FILE)


def put(folder: Path, cells: Cells, key: bytes) -> Path:
    """Write the record of one release; the file."""
    names = list(cells.members)
    units = [cells.members[name] for name in names]
    said = json.dumps([[n.split, n.on, n.group, n.outcome, n.mark] for n in names]).encode()
    pieces = Pieces(folder, _fingerprint(key))
    pieces.put(RECORD, {
        "names": np.frombuffer(said, dtype=np.uint8),
        "sizes": np.array([len(found) for found in units], dtype=np.int64),
        "units": np.concatenate([*units, np.empty(0, dtype=np.int64)]).astype(np.int32),
        "ids": _plain(cells.ids), "contents": _plain(cells.contents),
    })  # fmt: skip
    return pieces.path(RECORD)


def earlier(place: Path, *, key: bytes, but: str) -> dict[str, Cells]:
    """Every earlier release of the policy's folder, by run id; that of `but`, which is replaced, need not be readable.

    Raises:
        IntegrityError: a record is missing, damaged or under another key: then nothing can be compared.
    """
    found: dict[str, Cells] = {}
    complaints: list[Complaint] = []
    for run_id in released_runs(place):
        restricted = place / run_id / "restricted"
        try:
            arrays = Pieces(restricted, _fingerprint(key)).get(RECORD)
        except (IntegrityError, OSError):
            arrays = None
        if arrays is None and run_id != but:
            complaints.append(_cannot(restricted / f"{RECORD}.safetensors"))
        elif arrays is not None:
            found[run_id] = _cells(arrays)
    if complaints:
        raise IntegrityError(complaints)
    return found


def _cannot(file: Path) -> Complaint:
    message = (
        "what this earlier release counted cannot be read, so it cannot be told whether a new release beside it would "
        "give a person away; nothing is published"
    )
    hint = (
        "restore the file (or the key, AUDITKIT_KEY) from a backup; if the release was never handed out, remove its "
        "folder and its line in the journal"
    )
    return Complaint(message, str(file), hint)


def _cells(arrays: Mapping[str, NDArray[Any]]) -> Cells:
    names = [Name(*fields) for fields in json.loads(arrays["names"].tobytes())]
    units = np.split(arrays["units"].astype(np.int64), np.cumsum(arrays["sizes"])[:-1])
    return Cells(dict(zip(names, units, strict=False)), _bytes(arrays["ids"]), _bytes(arrays["contents"]))


def _plain(digests: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    texts = [bytes.fromhex(text.decode(_TEXT)) for text in digests.tolist()]
    return np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(texts), -1)


def _bytes(digests: NDArray[Any]) -> NDArray[np.bytes_]:
    return np.array([row.tobytes().hex().encode(_TEXT) for row in digests], dtype=f"S{2 * digests.shape[1]}")


def _fingerprint(key: bytes) -> str:
    return hmac.digest(key, b"fingerprint", "sha256").hex()
