"""Several processes at one audit: who holds which records, and the few exchanges between them.

Equal processes are started by `launch`. Each takes consecutive training records; sums over records are added up across
processes, scores stay where they were made until the report needs them. The first process (rank 0) writes and speaks,
the others help it.

Every exchange is met by all processes in the same order, with the same shapes. While it waits, a process looks whether
another has failed (`fail`), and then stops with `Stopped` instead of waiting for ever. A sum has the same bits in every
process, so that decisions taken on it are the same everywhere; it differs from the sum of one process by rounding.

`same` and `fail` send Python objects in pickled form, and what unpickles them trusts the sender. Nothing of it is ever
read from a file: only processes of this very run, which share the group and its store, are heard. Whoever else can
speak on that network could run code in them, so it has to be closed.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from auditkit.errors import AuditError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_FAILED: Final = "auditkit/failed"
_EAGER: Final = 0.002
_TICK: Final = 0.0005
_LOOK: Final = 0.25
"""Seconds: an exchange is awaited without pause, then in ticks; between two looks for failures of the others."""


class Stopped(Exception):
    """Another process failed; `reason` is what it said, None where it ended without a word."""

    def __init__(self, reason: AuditError | None) -> None:
        super().__init__("another process of this audit stopped")
        self.reason = reason


@dataclass(frozen=True)
class Processes:
    """The processes at one audit, as one of them sees them; without arguments, one process alone."""

    rank: int = 0
    size: int = 1
    group: Any = None
    """The process group of torch; None is its default one."""
    store: Any = None
    """Where failures are told."""

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The consecutive rows of `count` that this process holds; shares differ by one row at most."""
        each, over = divmod(count, self.size)
        start = self.rank * each + min(self.rank, over)
        return slice(start, start + each + (self.rank < over))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, the same bits in each."""
        return self._reduced(tensor, "SUM")

    def maximum(self, tensor: Tensor) -> Tensor:
        """The largest over processes, entry by entry."""
        return self._reduced(tensor, "MAX")

    def rows(self, tensor: Tensor) -> Tensor:
        """The rows of all processes one below the other, in the order of ranks; the number of rows may differ."""
        if self.size == 1:
            return tensor
        import torch

        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(tensor)
        lengths = self.sum(counts).tolist()
        # Booleans travel as bytes, and all parts at one length, because not every backend takes others.
        sent = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
        padded = sent.new_zeros(max(lengths), *sent.shape[1:])
        padded[: len(sent)] = sent
        parts = [torch.empty_like(padded) for _ in lengths]
        self._met(lambda dist: dist.all_gather(parts, padded.contiguous(), group=self.group, async_op=True))
        joined = torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
        return joined.to(tensor.dtype)

    def same(self, thing: T) -> T:
        """What the first process holds, in every process; anything that can be pickled."""
        if self.size == 1:
            return thing
        import numpy as np
        import torch

        content = np.frombuffer(pickle.dumps(thing), dtype=np.uint8).copy() if self.first else np.zeros(0, np.uint8)
        length = int(self.sum(torch.tensor([len(content)])))
        told = torch.zeros(length, dtype=torch.uint8)
        told[: len(content)] = torch.from_numpy(content)
        self._met(lambda dist: dist.broadcast(told, src=0, group=self.group, async_op=True))
        found: T = pickle.loads(told.cpu().numpy().tobytes())  # noqa: S301 - sent by a process of this very run
        return found

    def meet(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            import torch

            self.sum(torch.zeros(1))

    def fail(self, reason: AuditError | None) -> None:
        """Tell the others that this process stops, and why, so that they stop as well."""
        if self.store is None:
            return
        told = None if reason is None else (type(reason), reason.complaints)
        with suppress(RuntimeError):  # the store went with the process that held it, so nobody listens
            self.store.set(f"{_FAILED}/why", pickle.dumps(told))
            self.store.add(_FAILED, 1)

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        if self.size == 1:
            return tensor
        found = tensor.clone().contiguous()
        self._met(lambda dist: dist.all_reduce(found, getattr(dist.ReduceOp, how), group=self.group, async_op=True))
        return found

    def _met(self, begin: Callable[[Any], Any]) -> None:
        """Begin an exchange and wait for it, looking now and then whether another process has failed."""
        import torch.distributed as dist

        try:
            work = begin(dist)
            began = looked = time.monotonic()
            while not work.is_completed():
                now = time.monotonic()
                if now - began > _EAGER:
                    time.sleep(_TICK)
                if now - looked > _LOOK:
                    looked = now
                    self._look()
            work.wait()
        except RuntimeError as reason:
            # A peer that went away ends the exchange; whether it said why is in the store.
            self._look()
            raise Stopped(None) from reason

    def _look(self) -> None:
        """Stop if another process has said that it fails."""
        try:
            if self.store is None or not int(self.store.add(_FAILED, 0)):
                return
            told = pickle.loads(self.store.get(f"{_FAILED}/why"))  # noqa: S301 - said by a process of this very run
        except RuntimeError:  # the store went with the process that held it
            raise Stopped(None) from None
        raise Stopped(None if told is None else told[0](told[1]))


ALONE: Final = Processes()
