"""Group statistics of the decisions: how each protected group is treated, and how sure that is.

Takes the evaluation rows' decisions, labels, group membership and persons; gives a `result.FairnessPart` in
which every number has passed disclosure control. It knows neither the policy file nor the thresholds, and
never loads torch. `auditkit.fairness.measure` is the door for notebooks, `measure_table` that for frames and Parquet
files of any size, `measure_outcome` that for classes, numbers and rankings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.fairness.comparison.door import compare, comparison_table
    from auditkit.fairness.importers.metric_frame import from_metric_frame
    from auditkit.fairness.measuring import measure, measure_table, table
    from auditkit.fairness.membership.door import measure_membership
    from auditkit.fairness.outcomes.measuring import measure_outcome, outcome_table

__all__ = [
    "compare",
    "comparison_table",
    "from_metric_frame",
    "measure",
    "measure_membership",
    "measure_outcome",
    "measure_table",
    "outcome_table",
    "table",
]
_HOME = {
    "measure_membership": "membership.door",
    "measure_outcome": "outcomes.measuring",
    "outcome_table": "outcomes.measuring",
    "compare": "comparison.door",
    "comparison_table": "comparison.door",
    "from_metric_frame": "importers.metric_frame",
}
"""Module of a public name, where it is not `measuring`."""


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package stays light."""
    if name not in __all__:
        message = f"module 'auditkit.fairness' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"auditkit.fairness.{_HOME.get(name, 'measuring')}"), name)
