"""The processes of torch.distributed that share a table, for as long as one call lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from auditkit.errors import AuditError
from auditkit.processes import ALONE, Processes, Stopped

_CALLS = count()
"""Calls are met by all processes in the same order, so that the same number means the same call in each."""


@contextmanager
def joined() -> Iterator[Processes]:
    """All processes of the default group where one is initialised, else this one alone.

    An error in the block is told to the others, which then stop with the same error instead of waiting.

    Raises:
        AuditError: of any process.
    """
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        yield ALONE
        return
    from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

    # A group of NCCL alone cannot exchange what lies in main memory.
    group = dist.new_group(backend="cpu:gloo,cuda:nccl") if dist.get_backend() == "nccl" else None
    store = PrefixStore(f"auditkit/table/{next(_CALLS)}", _get_default_store())
    processes = Processes(dist.get_rank(), dist.get_world_size(), group, store)
    try:
        yield processes
    except Stopped as stopped:
        said = (
            "another process of this attribution ended without saying why; start again to go on from what is finished"
        )
        raise (stopped.reason or AuditError(said)) from None
    except BaseException as error:
        processes.fail(error if isinstance(error, AuditError) else None)
        raise
