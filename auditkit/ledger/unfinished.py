"""The work folder of a run that is not finished: `<out>/<policy>/.unfinished/<key>/`, removed when the run is whole.

Rooms leave finished pieces of long work there, and the next run with the same key reads them. The key is the digest of
all that the pieces rest on, so a run of another model, other data, another policy, date, version or number of processes
has a folder of its own, and leaves those of others alone. What lies here is as restricted as evidence; only its owner
can read it. To drop what stopped runs have left, delete `.unfinished`.
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError, ModelError, NumericsError, PolicyError
from auditkit.ledger.evidence import OWNER_FOLDER
from auditkit.ledger.provenance import bytes_digest, code_digest
from auditkit.pieces import Arrays, Pieces, write_whole
from auditkit.result import Stamp

UNFINISHED: Final = ".unfinished"
PIECES: Final = "pieces"
SHARDS: Final = "shards"
_LOCK: Final = "lock"
_NAMED: Final = 20
_FINAL: Final = (DataError, ModelError, NumericsError)


@dataclass(frozen=True)
class Kept:
    """Finished pieces in a work folder; says which headings were read, and what the disk refuses."""

    pieces: Pieces
    told: Callable[[str], None]
    """Called with the first part of a piece's name when the first piece under it is read."""
    read: set[str] = field(default_factory=set)

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished piece; None where there is none.

        Raises:
            IntegrityError: the file is not what was written.
        """
        found = self.pieces.get(name)
        heading = name.partition("/")[0]
        if found is not None and heading not in self.read:
            self.read.add(heading)
            self.told(heading)
        return found

    def put(self, name: str, arrays: Mapping[str, NDArray[np.generic]] | Arrays) -> None:
        """Keep a finished piece.

        Raises:
            PolicyError: the disk takes no more.
        """
        try:
            self.pieces.put(name, arrays)
        except OSError as error:
            message = f"finished work cannot be kept there ({error.strerror or error})"
            raise PolicyError(Complaint(message, str(self.pieces.folder), "name another place with --out")) from error


@dataclass(frozen=True)
class Work:
    """An open work folder."""

    folder: Path
    keep: Kept

    def put_shard(self, scores: pd.DataFrame, rank: int, size: int) -> None:
        """Leave the scores of one process, as a Parquet file with its rank and the number of processes in its name.

        Raises:
            PolicyError: it cannot be written; among several machines, because they do not share the folder.
        """
        content = io.BytesIO()
        scores.to_parquet(content, index=False)
        try:
            write_whole(self._shard(rank, size), content.getvalue())
        except OSError as error:
            message = f"the scores of process {rank} cannot be written there ({error.strerror or error})"
            hint = "every process needs the folder of --out"
            raise PolicyError(Complaint(message, str(self.folder), hint)) from error

    def shards(self, size: int) -> tuple[Path, ...]:
        """The score shards of all processes."""
        return tuple(self._shard(rank, size) for rank in range(size))

    def _shard(self, rank: int, size: int) -> Path:
        return self.folder / SHARDS / f"scores-{rank:05d}-of-{size:05d}.parquet"


def key_of(stamp: Stamp, *, processes: int) -> str:
    """Digest of all that finished pieces rest on: inputs, date, seed, versions, code and the number of processes.

    Sums of several processes differ from those of one by rounding, so pieces of one are not for another.
    """
    rests_on = [stamp.run_id, stamp.as_of, stamp.seed, stamp.digests, stamp.environment, code_digest(), processes]
    return bytes_digest(json.dumps(rests_on, sort_keys=True).encode())


@contextmanager
def at_work(place: Path, key: str, *, told: Callable[[str], None], first: bool = True) -> Iterator[Work]:
    """Open the work folder of a run; it stays when the block is interrupted, and is removed when nothing is left to do.

    Args:
        place: the policy's folder. key: of the run. told: see `Kept`.
        first: whether this process is the one that opens and removes it; others use what it opened.

    Raises:
        PolicyError: the same run is under way in another process, or the folder cannot be made.
    """
    folder = place / UNFINISHED / key[:_NAMED]
    work = Work(folder, Kept(Pieces(folder / PIECES, key), told))
    if not first:
        yield work
        return
    try:
        for made in (folder.parent, folder, folder / SHARDS):
            made.mkdir(mode=OWNER_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        message = f"nothing can be written there ({error.strerror or error})"
        raise PolicyError(Complaint(message, str(place), "name another place")) from error
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PolicyError(Complaint("this very run is under way in another process", str(folder))) from error
        try:
            yield work
        except _FINAL:
            # The same inputs would end here again, so nothing will go on from these pieces.
            _remove(folder)
            raise
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for emptied in folder.parents[:2]:
        with suppress(OSError):  # other runs have left something there
            emptied.rmdir()
