"""Finished pieces of long work on disk: written whole or not at all, keyed by what they rest on, checked when read.

A run that is killed leaves the pieces that it finished. Started again with the same key, it reads them instead of
computing them again; with another key (another model, other data, policy or code) it does not see them. Arrays are
kept bit by bit, so that a run that resumes ends in the same bytes as one that was never stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from auditkit.errors import Complaint, IntegrityError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_SUFFIX: Final = ".safetensors"


class Keep(Protocol):
    """Where long work leaves what it has finished; the assessing rooms know no more than this of any disk."""

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished piece; None where there is none."""
        ...

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep a finished piece."""
        ...


class Nothing:
    """Keeps nothing: for work that is short, or whose caller gave no folder."""

    def get(self, name: str) -> None:
        """Nothing was kept."""

    def put(self, name: str, arrays: Arrays) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Under:
    """Pieces of one kind, whose names begin with a heading."""

    keep: Keep
    heading: str

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished piece; None where there is none."""
        return self.keep.get(f"{self.heading}/{name}")

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep a finished piece."""
        self.keep.put(f"{self.heading}/{name}", arrays)


@dataclass(frozen=True)
class Pieces:
    """Pieces of work that rest on one key, each a file of its own under `folder`.

    A file is written beside its place and renamed, so a reader never meets half of one, and two processes may write the
    same piece at once. What is read must carry the key and the digest of its own arrays.
    """

    folder: Path
    key: str
    """Digest of everything that the pieces depend on."""

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished piece; None where there is none under this key.

        Raises:
            IntegrityError: the file is not what was written.
        """
        path = self.path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            arrays, said = load(content), _said(content)
        except (SafetensorError, ValueError, struct.error) as reason:
            raise _damaged(path) from reason
        if said.get("key") != self.key:
            return None
        if said.get("digest") != digest(arrays):
            raise _damaged(path)
        return arrays

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep a finished piece; what lay under this name is replaced."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {label: np.asarray(array, order="C") for label, array in arrays.items()}
        # One entry, because safetensors does not keep the order of several and the bytes would differ between runs.
        said = json.dumps({"digest": digest(whole), "key": self.key}, sort_keys=True)
        write_whole(path, save(whole, metadata={"piece": said}))

    def path(self, name: str) -> Path:
        """Where the piece lies."""
        return self.folder / f"{name}{_SUFFIX}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there in full or not at all, also after a loss of power."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _said(content: bytes) -> dict[str, str]:
    """What the file says of itself: safetensors' header is a length, then JSON."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    said: dict[str, str] = json.loads(header.get("__metadata__", {}).get("piece", "{}"))
    return said


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        Complaint("a kept piece of an unfinished run is not what was written", str(path), "delete it and run again")
    )
