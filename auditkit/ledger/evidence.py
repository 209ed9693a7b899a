"""The folder of one run: `public/` (reports) and `restricted/` (arrays, record tables), each with a manifest.

Everything is written into a folder beside the final one and moved into place at the end, so a run that stops half-way
leaves nothing that looks finished. `restricted/` is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.provenance import file_digest
from auditkit.result import Artifact

MANIFEST = "manifest.json"
OWNER_FOLDER, OWNER_FILE = 0o700, 0o600


def describe_arrays(arrays: Mapping[str, NDArray[Any]], *, shapes: bool = True) -> tuple[Artifact, ...]:
    """Reference arrays in public: name, shape, dtype and a digest that tells nothing of a single array.

    The sha256 of an array of flags or decisions would: with few flags, every possible array can be tried until one
    fits. So each digest is an HMAC-SHA256 under the digest of all the arrays together. Whoever holds the restricted
    files can compute it; whoever does not cannot try one array by itself. Without `shapes` no shape is told: it is the
    size of a split.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    together = hashlib.sha256()
    for array in contiguous.values():
        together.update(hashlib.sha256(array.tobytes()).digest())
    return tuple(
        Artifact(
            name=name, sha256=hmac.digest(together.digest(), array.tobytes(), "sha256").hex(),
            shape=array.shape if shapes else (), dtype=str(array.dtype),
        )
        for name, array in contiguous.items()
    )  # fmt: skip


def write_run(
    folder: Path,
    *,
    public: Mapping[str, bytes],
    arrays: Mapping[str, NDArray[Any]],
    tables: Mapping[str, pd.DataFrame],
    files: Iterable[Path] = (),
    scratch: Path | None = None,
    expires: str = "",
) -> Path:
    """Write one run's folder whole, or not at all.

    Args:
        folder: final place; a folder of an earlier, identical run is replaced.
        public: file name -> bytes of what may be handed out.
        arrays: name -> array, written as `restricted/<name>.npy` (never pickled).
        tables: name -> record-level table, written as `restricted/<name>.parquet`.
        files: restricted files that are there already; copied under their own names.
        scratch: folder on the same disk in which the run is put together; None is the one that will hold it.
        expires: last day on which the restricted files are kept, as an ISO date; empty is no such day.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=scratch or folder.parent) as beside:
        partial = Path(beside) / "run"
        (partial / "public").mkdir(parents=True)
        restricted = partial / "restricted"
        restricted.mkdir(mode=OWNER_FOLDER)
        for name, content in public.items():
            (partial / "public" / name).write_bytes(content)
        for name, array in arrays.items():
            np.save(restricted / f"{name}.npy", array, allow_pickle=False)
        for name, table in tables.items():
            table.to_parquet(restricted / f"{name}.parquet", index=False)
        for file in files:
            shutil.copyfile(file, restricted / file.name)
        (partial / "public" / MANIFEST).write_bytes(manifest(partial / "public"))
        (restricted / MANIFEST).write_bytes(manifest(restricted, {"expires": expires} if expires else {}))
        for file in restricted.iterdir():
            file.chmod(OWNER_FILE)
        _move_into_place(partial, folder, Path(beside) / "replaced")
    return folder


def manifest(folder: Path, said: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The manifest of a folder: sha256 and size of every file but the manifest itself, as canonical JSON.

    `said` is what it says besides: when its files expire, when they were deleted.
    """
    files = {
        file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.name != MANIFEST
    }
    listed = {"manifest": 1, "signed": False, "files": files, **said}
    return (json.dumps(listed, indent=1, sort_keys=True) + "\n").encode()


def verify(folder: Path) -> tuple[str, ...]:
    """Hold every file of a run folder (or of `public/` alone) against its manifest.

    Returns:
        The names of the files that were checked.

    Raises:
        IntegrityError: a file is missing, changed or not listed; all complaints at once.
    """
    parts = [part for part in (folder, folder / "public", folder / "restricted") if (part / MANIFEST).is_file()]
    if not parts:
        raise IntegrityError(Complaint(f"no {MANIFEST} here", str(folder), "name the folder of a run or its public/"))
    checked: list[str] = []
    complaints: list[Complaint] = []
    for part in parts:
        try:
            listed = json.loads((part / MANIFEST).read_text("utf-8"))["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(Complaint("the manifest is not readable", str(part / MANIFEST))) from error
        present = {file.name for file in part.iterdir() if file.name != MANIFEST}
        complaints += [Complaint("listed but missing", str(part / name)) for name in sorted(set(listed) - present)]
        complaints += [Complaint("present but not listed", str(part / name)) for name in sorted(present - set(listed))]
        for name in sorted(present & set(listed)):
            checked.append(f"{part.name}/{name}")
            if file_digest(part / name) != listed[name]["sha256"]:
                complaints.append(Complaint("the content differs from the manifest", str(part / name)))
    if complaints:
        raise IntegrityError(complaints)
    return tuple(checked)


def _move_into_place(partial: Path, folder: Path, replaced: Path) -> None:
    if folder.exists():
        folder.rename(replaced)
        shutil.rmtree(replaced, ignore_errors=True)
    partial.rename(folder)
