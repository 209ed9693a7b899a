"""The policy's `compare:` section: other models or versions that are asked about the same evaluation records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from auditkit.errors import Complaint, PolicyError
from auditkit.policy import predicate
from auditkit.policy.document import KeyPath
from auditkit.policy.settings import Section

MOST: Final = 20
"""Models in one comparison; with more, simultaneous intervals say little."""
RECORDED: Final = ("decision", "score")


class ComparedRule(Section):
    """Another model: the folder of one that auditkit trained, or what it answered, recorded in the evaluation file."""

    path: Path | None = None
    """Folder of another tabular model."""
    decision: str | None = None
    """SQL expression or column of the evaluation file that is true (or 1) for the favourable decision."""
    score: str | None = None
    """Column of the evaluation file with the favourable outcome's score."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A score of at least this is the favourable decision."""


def check_compare(raw: Mapping[str, Any], locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    """What no single key can say: one source a model, a threshold that decides, an expression that can be read."""
    section = raw.get("compare")
    if not isinstance(section, dict):
        return
    if len(section) > MOST:
        message = f"'compare' names {len(section)} models, and more than {MOST} are too many for one family"
        yield Complaint(message, where=locate(("compare",)), hint="compare the candidates that are left in the end")
    for name, entry in section.items():
        if isinstance(entry, dict):
            yield from _entry(str(name), entry, locate)


def _entry(name: str, entry: Mapping[str, Any], locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    here: KeyPath = ("compare", name)
    recorded = [key for key in RECORDED if entry.get(key) is not None]
    if entry.get("path") is None and not recorded:
        message = f"'{name}' names no model"
        yield Complaint(message, where=locate(here), hint="add path:, or decision: or score: of the evaluation file")
    if entry.get("path") is not None and recorded:
        message = f"'{name}' names a folder and recorded answers"
        yield Complaint(message, where=locate((*here, recorded[0])), hint="keep one of them")
    if "threshold" in entry and entry.get("decision") is not None:
        message = f"'decision' of '{name}' is stated, so that 'threshold' decides nothing"
        yield Complaint(message, where=locate((*here, "threshold")), hint="remove one of them")
    if isinstance(entry.get("decision"), str):
        try:
            predicate.parse(entry["decision"], where=locate((*here, "decision")), name=f"the decision of '{name}'")
        except PolicyError as error:
            yield from error.complaints
