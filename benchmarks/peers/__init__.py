"""One file for each library: how it is called, and how its answer becomes a predicted change of a mean loss.

An adapter's `PEER` is loaded by name, because each imports a library that need not be installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from benchmarks.contest import Peer

NAMES: Final = ("auditkit", "kronfluence", "captum", "dattri", "pydvl", "logix")


def load(name: str) -> Peer:
    """The adapter of a library.

    Raises:
        ImportError: the library is not installed, or does not import.
    """
    found = import_module(f"benchmarks.peers.{name}").PEER
    assert isinstance(found, Peer)  # noqa: S101 - a slip in an adapter, not in what a user gives
    return found
