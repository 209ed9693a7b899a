"""Starting several processes for one audit, and joining those that were started.

`auditkit run --processes 2` starts them on this machine and ends with the audit's exit code. `torchrun -m auditkit run`
does the same on one machine or several, with `gloo` on CPUs and `nccl` on GPUs; torchrun itself ends with 1 for every
exit code but 0.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from auditkit.errors import AuditError, Complaint
from auditkit.processes import ALONE, Processes, Stopped

GATHERING: Final = timedelta(minutes=5)
"""How long the first processes wait for the last to start."""
GRACE: Final = timedelta(seconds=10)
"""How long a process that was asked to end may take to clean up."""
PATIENCE: Final = timedelta(days=7)
"""How long one process may work while the others wait; that one has failed is noticed at once, whatever this says."""


def launched() -> bool:
    """Whether this process was started as one of several (torchrun's variables say so)."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def leads() -> bool:
    """Whether this process speaks for the audit: it is alone, or the first."""
    return not launched() or os.environ["RANK"] == "0"


def by_torchrun() -> bool:
    """Whether torchrun waits for this process, and will end with 1 for every exit code but 0."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that this one was started with, for as long as the block lasts; one alone where it was not.

    An error in the block is told to the others, so that none waits for this one; in the first process the error of
    another appears as its own.

    Raises:
        AuditError: of this process, and in the first also of any other.
        Stopped: in the others, where some process failed.
    """
    if not launched():
        yield ALONE
        return
    import torch.distributed as dist

    processes = _join()
    try:
        yield processes
    except Stopped as stopped:
        if processes.first:
            raise (stopped.reason or _lost(stopped)) from None
        raise
    except BaseException as error:
        processes.fail(error if isinstance(error, AuditError) else AuditError(_defect(error)))
        raise
    finally:
        dist.destroy_process_group()


def _lost(stopped: Stopped) -> AuditError:
    how = f" ({str(stopped.__cause__).splitlines()[0]})" if stopped.__cause__ is not None else ""
    hint = "it may have been stopped for want of memory; run again, and what was finished is not computed again"
    return AuditError(Complaint(f"another process of this audit ended without saying why{how}", hint=hint))


def _defect(error: BaseException) -> str:
    return f"auditkit has a defect: {type(error).__name__}: {error}"


def _join() -> Processes:
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    local = int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    # NCCL wants a device for each process; gloo also exchanges what lies on a device that several share.
    if dist.is_nccl_available() and torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(local)
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=GATHERING)))
        store.set(f"auditkit/here/{rank}", "1")
        store.wait([f"auditkit/here/{other}" for other in range(size)], GATHERING)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as reason:
        message = f"the processes of this audit did not find each other: {reason}"
        raise AuditError(Complaint(message, hint="start them all with one torchrun, or use --processes")) from reason
    return Processes(rank, size, store=store)


def spawn(arguments: Sequence[str], count: int, *, program: Sequence[str] = ()) -> int:
    """Run the command line in `count` processes on this machine; the exit code of the first.

    Args:
        arguments: of the program, without `--processes`. count: of processes.
        program: what to start; `python -m auditkit` where nothing is given.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    shared = {"OMP_NUM_THREADS": threads} | os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
    }  # fmt: skip
    command = [*(program or (sys.executable, "-m", "auditkit")), *arguments]
    started = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})  # noqa: S603
        for rank in range(count)
    ]
    try:
        return _watched(started)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=GRACE.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _watched(started: Sequence[subprocess.Popen[bytes]]) -> int:
    """The exit code of the first process; of another that fails before it could tell the first."""
    while started[0].poll() is None:
        failed = [process.returncode for process in started[1:] if process.poll()]
        if failed:
            # It may have been able to tell the first process after all, which then ends by itself.
            try:
                started[0].wait(timeout=10)
            except subprocess.TimeoutExpired:
                return failed[0] if failed[0] > 0 else AuditError.exit_code
        time.sleep(0.05)
    code = started[0].returncode
    return code if code >= 0 else AuditError.exit_code
