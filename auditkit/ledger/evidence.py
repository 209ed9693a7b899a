"""The folder of one run: `public/` (reports) and `restricted/` (arrays, record tables), each with a manifest.

Everything is written into a folder beside the final one and moved into place at the end, so a run that stops half-way
leaves nothing that looks finished. `restricted/` is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.disk import write
from auditkit.ledger.manifest import MANIFEST, check_folder, make_manifest, read_manifest
from auditkit.result import Artifact

PARTS: Final = ("public", "restricted")
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
    missing: Iterable[str] = (),
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
        missing: names of public files that were asked for and follow later, by `add_file`.
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
        state = {"revision": 1, "missing": sorted(missing)}
        (partial / "public" / MANIFEST).write_bytes(make_manifest(partial / "public", state))
        (restricted / MANIFEST).write_bytes(make_manifest(restricted, {"expires": expires} if expires else {}))
        for file in restricted.iterdir():
            file.chmod(OWNER_FILE)
        _move_into_place(partial, folder, Path(beside) / "replaced")
    return folder


def add_file(public: Path, name: str, content: bytes) -> None:
    """Add a file that was missing to a published folder, as a new revision of its manifest.

    Args:
        public: the folder. name: of the file, replaced where it lies there already. content: its bytes.

    Raises:
        IntegrityError: the manifest cannot be read.
    """
    listing = read_manifest(public)
    write(public / name, content)
    missing = [other for other in listing.missing if other != name]
    write(public / MANIFEST, make_manifest(public, {"revision": listing.revision + 1, "missing": missing}))


def verify(folder: Path) -> tuple[str, ...]:
    """Hold a run's folder (or its `public/` alone) against its manifests: exactly what was written lies there.

    Returns:
        The names of the files that were checked.

    Raises:
        IntegrityError: a file, folder or manifest is missing, changed, added or replaced by a link; all complaints at
            once.
    """
    if not folder.is_dir():
        raise IntegrityError(Complaint("there is no such folder", str(folder), "name the folder of a run"))
    names = {entry.name for entry in folder.iterdir()}
    if not names & {*PARTS, MANIFEST}:
        raise IntegrityError(Complaint(f"no {MANIFEST} here", str(folder), "name the folder of a run or its public/"))
    checked: list[str] = []
    complaints: list[Complaint] = []
    parts = [folder / part for part in PARTS] if names & set(PARTS) else [folder]
    if len(parts) > 1:
        complaints += [Complaint("nothing of a run", str(folder / name)) for name in sorted(names - set(PARTS))]
    for part in parts:
        if part != folder and (part.is_symlink() or not part.is_dir()):
            what = "it is a link, and not the folder itself" if part.is_symlink() else "the folder is missing"
            complaints.append(Complaint(what, str(part), f"to check one part alone, name {folder / PARTS[0]}"))
            continue
        try:
            own, wrong = check_folder(part)
        except IntegrityError as error:
            complaints += error.complaints
            continue
        checked += own
        complaints += wrong
    if complaints:
        raise IntegrityError(complaints)
    return tuple(checked)


def missing_formats(folder: Path) -> tuple[str, ...]:
    """Public files of a run that were asked for and could not be made yet.

    Raises:
        IntegrityError: the manifest cannot be read.
    """
    public = public_folder(folder)
    return tuple(f"{public.name}/{name}" for name in read_manifest(public).missing)


def public_folder(folder: Path) -> Path:
    """The published folder of a run's folder, which may be named itself."""
    return folder / PARTS[0] if (folder / PARTS[0]).is_dir() else folder


def _move_into_place(partial: Path, folder: Path, replaced: Path) -> None:
    if folder.exists():
        folder.rename(replaced)
        shutil.rmtree(replaced, ignore_errors=True)
    partial.rename(folder)
