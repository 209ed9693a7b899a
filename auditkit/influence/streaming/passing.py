"""One pass over a share of the table: each part is scored, written to its shard and counted, then let go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from auditkit.errors import NumericsError
from auditkit.influence.bounds import OwnCheck
from auditkit.influence.pooled import pooled_check
from auditkit.influence.problem import Problem
from auditkit.influence.streaming.encoding import Reader, Records
from auditkit.influence.streaming.folder import Folder
from auditkit.influence.streaming.scorer import Scorer
from auditkit.influence.streaming.sheets import Layout, clear, digest_of, sheet
from auditkit.influence.streaming.streamed import loaded
from auditkit.influence.streaming.tables import Part
from auditkit.influence.streaming.tally import Tally
from auditkit.pieces import Arrays, Nothing
from auditkit.processes import ALONE, Processes

Floats: TypeAlias = NDArray[np.float64]


@dataclass
class Progress:
    """What is known of the records scored so far by this process."""

    tally: Tally
    gradient: Tensor
    """[D] sum over records of w_n / N grad l_n."""
    length: float = 0.0
    """Sum over records of (w_n / N)² r_nᵀ J_n H⁻¹ J_nᵀ r_n."""
    capped: int = 0
    check: OwnCheck | None = None
    """What is known of the self-influence of all of them."""
    shards: list[str] = field(default_factory=list)
    """SHA-256 of the finished shards, in their order."""

    def arrays(self) -> Arrays:
        """For a piece."""
        return {
            **self.tally.arrays(),
            "gradient": self.gradient.cpu().numpy(),
            "length": np.array([self.length]),
            "capped": np.array([self.capped]),
            "check": np.frombuffer(json.dumps(self.check and asdict(self.check)).encode(), dtype=np.uint8),
            "shards": np.frombuffer("".join(self.shards).encode(), dtype=np.uint8),
        }

    @staticmethod
    def of(arrays: Arrays, device: torch.device) -> Progress:
        """The inverse of `arrays`."""
        hexadecimal = arrays["shards"].tobytes().decode()
        check = json.loads(arrays["check"].tobytes())
        return Progress(
            Tally.of(arrays),
            torch.from_numpy(arrays["gradient"]).to(device),
            float(arrays["length"][0]),
            int(arrays["capped"][0]),
            None if check is None else OwnCheck(**check),
            [hexadecimal[at : at + 64] for at in range(0, len(hexadecimal), 64)],
        )


@dataclass(frozen=True)
class Pass:
    """Everything that scoring a part needs."""

    problem: Problem
    """Posed on the first records."""
    scorer: Scorer
    reader: Reader
    folder: Folder
    layout: Layout
    processes: Processes
    top: int
    """Records kept at each end of every column."""

    def run(self) -> Progress:
        """Score the shards of this process; those that an earlier sitting finished are not scored again.

        Raises:
            DataError: records that cannot be read or encoded, shards that cannot be written.
            NumericsError: scores that are not finite; names the records.
        """
        name = f"progress-{self.processes.rank}-of-{self.processes.size}"
        mine = self.shards()
        progress = self._begun(name)
        for index, digest in zip(mine, progress.shards, strict=False):
            if digest_of(self.folder.shard(index)) != digest:
                # Finished, and gone or changed since: written again, and counted only once.
                self._again(index)
        rest = mine[len(progress.shards) :]
        if rest:
            start, stop = rest[0] * self.reader.shard, min((rest[-1] + 1) * self.reader.shard, self.reader.table.rows)
            parts = loaded(self.reader, self.problem, start, stop)
            for index, own in groupby(parts, key=lambda given: given[0].start // self.reader.shard):
                progress.shards.append(self._shard(index, own, progress))
                self.folder.pieces.put(name, progress.arrays())
        return progress

    def shards(self) -> range:
        """Numbers of the shards of this process; consecutive, so that it reads one stretch of the table."""
        share = self.processes.share(-(-self.reader.table.rows // self.reader.shard))
        return range(share.start, share.stop)

    def _begun(self, name: str) -> Progress:
        kept, device = self.folder.pieces.get(name), self.problem.targets.device
        if kept is not None:
            return Progress.of(kept, device)
        gradient = torch.zeros(self.problem.layout.size, dtype=torch.float64, device=device)
        return Progress(Tally.empty(self.scorer.columns, self.top), gradient)

    def _again(self, index: int) -> None:
        start = index * self.reader.shard
        stop = min(start + self.reader.shard, self.reader.table.rows)
        self._shard(index, loaded(self.reader, self.problem, start, stop), None)

    def _shard(self, index: int, parts: Iterator[tuple[Part, Records]], progress: Progress | None) -> str:
        """Score and write one shard; its digest."""
        path = self.folder.shard(index)
        clear(self.folder.path, path.name)
        with sheet(path, self.layout) as written:
            for part, records in parts:
                scores = self._scored(part, records, progress)
                written.add(part.start, part.batch, scores)
                if progress is not None:
                    progress.tally.add(part.start, scores)
        return str(digest_of(path))

    def _scored(self, part: Part, records: Records, progress: Progress | None) -> Floats:
        """[B, S + 1] effects, self-influence last."""
        chunk = self._chunk(part, records)
        try:
            found = self.scorer.of_chunk(chunk)
        except NumericsError as reason:
            path, group, row = self.reader.table.place(part.start)
            raise NumericsError(f"{path}, row group {group}, from row {row}: {reason}") from reason
        if progress is not None:
            progress.gradient += found.gradient
            progress.length += found.length
            progress.capped += found.capped
            progress.check = found.check if progress.check is None else progress.check.joined(found.check)
        scores: Floats = found.columns.cpu().numpy()
        return scores

    def _chunk(self, part: Part, records: Records) -> Problem:
        """The part as training rows among all N."""
        weights = records.weights
        if weights is None:
            weights = torch.ones(len(records.targets), dtype=torch.float64, device=records.targets.device)
        return replace(
            self.problem,
            inputs=records.inputs,
            targets=records.targets,
            weights=weights,
            total=self.reader.table.rows,
            start=part.start,
            processes=ALONE,
            keep=Nothing(),
        )


def together(progress: Progress, processes: Processes) -> Progress:
    """What all processes found, in each of them."""
    if processes.size == 1:
        return progress
    tally, device = progress.tally, progress.gradient.device

    def summed(array: NDArray[np.generic]) -> NDArray[np.generic]:
        found: NDArray[np.generic] = processes.sum(torch.from_numpy(array).to(device)).cpu().numpy()
        return found

    ends = [processes.rows(torch.from_numpy(a[None]).to(device)).cpu().numpy() for a in (tally.values, tally.records)]
    whole = Tally.empty(tally.sums.shape[1], tally.values.shape[2])
    whole.sums[:], whole.bins[:] = summed(tally.sums), summed(tally.bins)
    for values, records in zip(*ends, strict=True):
        whole.take(values, records)
    told = torch.tensor([list(bytes.fromhex(digest)) for digest in progress.shards], dtype=torch.uint8)
    shards = processes.rows(told.reshape(len(progress.shards), 32).to(device)).cpu()
    numbers = processes.sum(torch.tensor([progress.length, float(progress.capped)], dtype=torch.float64, device=device))
    return Progress(
        whole,
        processes.sum(progress.gradient),
        float(numbers[0]),
        int(numbers[1]),
        pooled_check(processes, progress.check),
        [bytes(row.tolist()).hex() for row in shards],
    )
