"""Group statistics of the decisions: how each protected group is treated, and how sure that is.

Takes the evaluation rows' decisions, labels, group membership and persons; gives a `result.FairnessPart` in
which every number has passed disclosure control. It knows neither the policy file nor the thresholds, and
never loads torch. `auditkit.fairness.measure` is the door for notebooks, `measure_table` that for frames and Parquet
files of any size.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.fairness.measuring import measure, measure_table, table

__all__ = ["measure", "measure_table", "table"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package stays light."""
    if name not in __all__:
        message = f"module 'auditkit.fairness' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module("auditkit.fairness.measuring"), name)
