"""Keys of a policy that are read and change nothing yet: `auditkit check` says so where an author states one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WITHOUT_EFFECT: Final[Mapping[tuple[str, ...], str]] = {
    ("schedule", "grace"): "nothing counts an audit as overdue yet; `schedule.every` is printed in the report",
    ("report", "language"): "reports are written in English only",
    ("report", "annex"): "a report has no record-level annex; records lie in the run's restricted folder",
}
"""Keys -> why they change nothing. A test holds every other key of the schema to be read somewhere."""


def without_effect(resolved: Mapping[str, Any]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The stated keys that change nothing, each with the reason.

    Args:
        resolved: the policy as its author wrote it, `extends` resolved.

    >>> without_effect({"schedule": {"every": "3 months", "grace": "15 days"}})[0][0]
    ('schedule', 'grace')
    """
    return tuple((keys, reason) for keys, reason in WITHOUT_EFFECT.items() if _stated(resolved, keys))


def _stated(mapping: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(mapping, Mapping) or key not in mapping:
            return False
        mapping = mapping[key]
    return True
