"""The manifest of a folder: the sha256 and size of every file in it, and whether that still holds.

A folder holds exactly what its manifest lists. What lies there may come from anybody, so nothing is followed or waited
for: links, pipes and folders are complaints, and a file of another size than listed is not read.

A manifest is not signed: whoever can write into the folder can also rebuild it (`UNSIGNED`).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from auditkit.errors import Complaint, IntegrityError
from auditkit.ledger.provenance import CHUNK, file_digest

MANIFEST: Final = "manifest.json"
LARGEST: Final = 1 << 26
"""Bytes of a manifest that is read."""
UNSIGNED: Final = "the manifests are not signed: whoever could write into this folder could have rebuilt them"


@dataclass(frozen=True)
class Listing:
    """What a manifest says of its folder."""

    files: Mapping[str, tuple[str, int]]
    """Name -> sha256 and bytes."""
    missing: tuple[str, ...]
    """Files that were asked for and could not be made yet."""
    revision: int
    """1, and one more for each file that was added later."""
    expires: str
    """Last day of the files as an ISO date; empty where none is stated."""


def make_manifest(
    folder: Path, extra: Mapping[str, Any] = MappingProxyType({}), *, only: Collection[str] | None = None
) -> bytes:
    """The manifest of what lies in a folder now, as canonical JSON.

    Args:
        folder: its files are read; the manifest itself is left out.
        extra: further keys: when the files expire or were deleted, the revision, and what is missing.
        only: the names that are listed; None lists all.
    """
    files = {
        file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.name != MANIFEST and (only is None or file.name in only)
    }
    content = {"manifest": 1, "signed": False, "files": files, **extra}
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def read_manifest(folder: Path) -> Listing:
    """What the manifest of a folder says.

    Raises:
        IntegrityError: there is none, or it is not what `make_manifest` writes.
    """
    place = folder / MANIFEST
    try:
        with _regular_file(place) as descriptor:
            document = json.loads(_content(descriptor, LARGEST))
        files = {
            _plain(name): (_text(entry["sha256"]), _whole(entry["bytes"])) for name, entry in document["files"].items()
        }
        missing = tuple(_plain(name) for name in document.get("missing", []))
        return Listing(files, missing, _whole(document.get("revision", 1)), _text(document.get("expires", "")))
    except FileNotFoundError as error:
        raise IntegrityError(Complaint(f"{MANIFEST} is missing", str(folder))) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(Complaint("the manifest is not readable", str(place))) from error


def check_folder(folder: Path) -> tuple[tuple[str, ...], tuple[Complaint, ...]]:
    """The names of the files that were checked, and what differs from the manifest.

    Raises:
        IntegrityError: the manifest cannot be read.
    """
    listed = read_manifest(folder).files
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST}
    complaints = [Complaint("listed but missing", str(folder / name)) for name in sorted(set(listed) - present)]
    complaints += [Complaint("present but not listed", str(folder / name)) for name in sorted(present - set(listed))]
    checked = sorted(present & set(listed))
    for name in checked:
        complaints += [Complaint(what, str(folder / name)) for what in _differences(folder / name, *listed[name])]
    return tuple(f"{folder.name}/{name}" for name in checked), tuple(complaints)


def _differences(file: Path, sha256: str, size: int) -> Iterator[str]:
    """What is wrong with one listed file; a file of another size is not read."""
    try:
        with _regular_file(file) as descriptor:
            if os.fstat(descriptor).st_size != size or _digest(descriptor, size) != sha256:
                yield "the content differs from the manifest"
    except ValueError as error:
        yield str(error)
    except OSError as error:
        yield f"it cannot be read ({error.strerror or error})"


@contextmanager
def _regular_file(file: Path) -> Iterator[int]:
    """The descriptor of a regular file: no link is followed, and no pipe is waited for.

    Raises:
        ValueError: it is a link, a folder or something else. OSError: it cannot be opened.
    """
    if file.is_symlink():
        raise ValueError("it is a link, and not the file itself")
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int, most: int) -> bytes:
    """All bytes of an open file.

    Raises:
        ValueError: there are more than `most`.
    """
    parts, left = [], most
    while chunk := os.read(descriptor, min(CHUNK, left + 1)):
        parts.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise ValueError("it is too large")
    return b"".join(parts)


def _digest(descriptor: int, size: int) -> str:
    """The sha256 of the first `size` bytes of an open file."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := os.read(descriptor, min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _plain(name: Any) -> str:
    if _text(name) in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError("a file's name is no plain name")
    return str(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("not a count")
    return value
