"""Shards of a store: per-record gradients in a memory-mapped .npy file each, and beside it what belongs to the records.

A shard is finished when both its files are there: the gradients are written beside their place, flushed and renamed;
then a kept piece with losses, weights and the digest of the gradients' file. Numbers are float32, or float16 with one
scale for each record and block, so that small blocks do not vanish.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditkit.errors import Complaint, IntegrityError
from auditkit.pieces import Pieces

Precision: TypeAlias = Literal["float32", "float16"]

_READ = 2**24
_ROWS = 4096


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    gradients: NDArray[Any]
    """[R, K] projected loss gradients, memory-mapped; float16 ones are to be multiplied by `scale`."""
    scale: NDArray[np.float32] | None
    """[R, blocks] for float16."""
    loss: NDArray[np.float64]
    """[R]"""
    weight: NDArray[np.float64]
    """[R] sample weights."""
    rounding: NDArray[np.float64]
    """[2] squared norms, over the shard, of what rounding took away and of the gradients."""
    data: str
    """Digest of the records' inputs, targets and weights."""

    def products(self, vectors: Tensor, spans: Mapping[str, slice]) -> Tensor:
        """[R, S] float64 gradients times vectors [K, S], in float32, a part of the file at a time."""
        narrow = vectors.to(torch.float32).numpy()
        parts = []
        for start in range(0, len(self.gradients), _ROWS):
            rows = self.gradients[start : start + _ROWS]
            if self.scale is None:
                parts.append(torch.from_numpy(np.asarray(rows) @ narrow))
                continue
            total = np.zeros((len(rows), narrow.shape[1]), dtype=np.float32)
            for b, span in enumerate(spans.values()):
                block = rows[:, span].astype(np.float32) @ narrow[span]
                total += block * self.scale[start : start + _ROWS, b : b + 1]
            parts.append(torch.from_numpy(total))
        return torch.cat(parts).to(torch.float64)

    def rows(self, spans: Mapping[str, slice], size: int) -> Iterator[Tensor]:
        """Gradients [r, K] as float64, `size` records at a time."""
        for start in range(0, len(self.gradients), size):
            rows = self.gradients[start : start + size].astype(np.float64)
            if self.scale is not None:
                for b, span in enumerate(spans.values()):
                    rows[:, span] *= self.scale[start : start + size, b : b + 1]
            yield torch.from_numpy(rows)


@dataclass
class ShardWriter:
    """One shard while it is written; `append` as often as there are batches, then `finish`."""

    pieces: Pieces
    number: int
    spans: Mapping[str, slice]
    precision: Precision
    count: int

    def __post_init__(self) -> None:
        """Open the file beside its place."""
        width = max((span.stop for span in self.spans.values()), default=0)
        path = gradients_path(self.pieces, self.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._beside = path.with_name(f".{path.name}.part")
        self._file = np.lib.format.open_memmap(self._beside, mode="w+", dtype=self.precision, shape=(self.count, width))
        self._beside.chmod(0o600)
        self._at = 0
        self._scales: list[NDArray[np.float32]] = []
        self._rounding = np.zeros(2)

    def append(self, gradients: Tensor) -> None:
        """Write the next records' gradients [B, K]."""
        rows = gradients.cpu().numpy()
        scale = self._scale(rows)
        kept = (rows / self._spread(scale)).astype(self.precision)
        back = kept.astype(np.float64) * self._spread(scale)
        self._rounding += (float(((back - rows) ** 2).sum()), float((rows**2).sum()))
        self._file[self._at : self._at + len(rows)] = kept
        self._at += len(rows)
        self._scales.append(scale)

    def finish(self, *, loss: Tensor, weight: Tensor, data: str) -> None:
        """Rename the file into its place, and keep what belongs to its records."""
        path = gradients_path(self.pieces, self.number)
        self._file.flush()
        del self._file
        with self._beside.open("rb+") as file:
            os.fsync(file.fileno())
        self._beside.replace(path)
        self.pieces.put(
            _records_name(self.number),
            {
                "loss": loss.cpu().numpy(),
                "weight": weight.cpu().numpy(),
                "scale": np.concatenate(self._scales),
                "rounding": self._rounding,
                "data": _bytes(data),
                "file": _bytes(_file_digest(path)),
            },
        )

    def _scale(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """[B, blocks] for float16 the largest number of each record's block, and [B, 0] for float32."""
        if self.precision == "float32":
            return np.zeros((len(rows), 0), dtype=np.float32)
        largest = np.stack([np.abs(rows[:, span]).max(axis=1) for span in self.spans.values()], axis=1)
        return np.where(largest > 0, largest, 1.0).astype(np.float32)

    def _spread(self, scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """[B, K] or [1, 1] what each number is divided by."""
        if self.precision == "float32":
            return np.ones((1, 1))
        widths = [span.stop - span.start for span in self.spans.values()]
        return np.repeat(scale.astype(np.float64), widths, axis=1)


def read_shard(pieces: Pieces, number: int) -> Shard:
    """A finished shard, checked byte for byte.

    Raises:
        IntegrityError: it is absent or not what was written; names the shard.
    """
    path = gradients_path(pieces, number)
    try:
        found = pieces.get(_records_name(number))
    except IntegrityError as reason:
        raise _damaged(number, pieces.path(_records_name(number)), "is not what was written") from reason
    if found is None or not path.is_file():
        raise _damaged(number, path if found is not None else pieces.path(_records_name(number)), "is absent")
    if _file_digest(path) != _text(found["file"]):
        raise _damaged(number, path, "is not what was written")
    gradients: NDArray[Any] = np.load(path, mmap_mode="r")
    scale = found["scale"] if found["scale"].shape[1] else None
    return Shard(gradients, scale, found["loss"], found["weight"], found["rounding"], _text(found["data"]))


def gradients_path(pieces: Pieces, number: int) -> Path:
    """Where a shard's gradients lie."""
    return pieces.folder / "shards" / f"gradients-{number:06}.npy"


def _records_name(number: int) -> str:
    return f"shards/records-{number:06}"


def _file_digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ):
            found.update(part)
    return found.hexdigest()


def _bytes(digest: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)


def _text(digest: NDArray[Any]) -> str:
    return bytes(digest).hex()


def _damaged(number: int, path: Path, how: str) -> IntegrityError:
    return IntegrityError(Complaint(f"shard {number} of the gradient store {how}", str(path), "build the store again"))
