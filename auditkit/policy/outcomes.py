"""The policy's `outcomes:` section: further outcomes whose prediction and truth are columns of the evaluation file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from auditkit.errors import Complaint
from auditkit.policy.document import KeyPath
from auditkit.policy.settings import Section

Kind = Literal["classes", "number", "ranking"]
READ: Final[dict[str, frozenset[str]]] = {
    "classes": frozenset({"kind", "truth", "prediction", "classes"}),
    "number": frozenset({"kind", "truth", "prediction", "quantiles"}),
    "ranking": frozenset({"kind", "truth", "prediction", "top", "within"}),
}
"""Keys that an outcome of each kind reads."""


class Outcome(Section):
    """One further outcome: what was predicted, and what happened."""

    kind: Kind
    """`classes` (several classes), `number` (a quantity) or `ranking` (a score by which records are ordered)."""
    prediction: str
    """Column of the predicted class, the predicted number, or the score (the highest comes first)."""
    truth: str | None = None
    """Column of the true class or number; of a ranking the merit (at least 0), which may be left out."""
    classes: tuple[bool | int | float | str, ...] = ()
    """`classes`: those assessed, in order, others counted together; if not given, every value met in the data."""
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.1, 0.5, 0.9)
    """`number`: quantiles of the error that are compared."""
    top: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (0.1,)
    """`ranking`: depths of the list; below 1 a share of it, from 1 on a number of places."""
    within: str | None = None
    """`ranking`: column that names the list in which a record is placed; if not given, all records are one list."""

    @property
    def columns(self) -> dict[str, str]:
        """Key -> the column that it names."""
        named = {"prediction": self.prediction, "truth": self.truth, "within": self.within}
        return {key: column for key, column in named.items() if column is not None}


def check_outcomes(raw: Mapping[str, Any], locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    """What no single key can say: keys that the kind does not read, a truth that it needs, depths that are places."""
    section = raw.get("outcomes")
    for name, stated in section.items() if isinstance(section, dict) else ():
        kind = stated.get("kind") if isinstance(stated, dict) else None
        if not isinstance(stated, dict) or kind not in READ:
            continue
        here: KeyPath = ("outcomes", name)
        for key in stated:
            readers = [other for other, keys in READ.items() if key in keys]
            if readers and kind not in readers:
                message = f"an outcome of the kind '{kind}' does not read '{key}'"
                yield Complaint(message, where=locate((*here, key)), hint=f"remove it (read by {', '.join(readers)})")
        if kind != "ranking" and stated.get("truth") is None:
            message = f"the outcome '{name}' of the kind '{kind}' needs 'truth'"
            yield Complaint(message, where=locate(here), hint="add truth: with a column")
        yield from _of_lists(stated, here, locate)


def _of_lists(stated: Mapping[str, Any], here: KeyPath, locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    for key in ("classes", "quantiles", "top"):
        found = stated.get(key)
        entries: list[Any] = found if isinstance(found, list) else []
        for index, entry in enumerate(entries):
            where = locate((*here, key, index))
            if any(isinstance(entry, bool) is isinstance(one, bool) and entry == one for one in entries[:index]):
                yield Complaint(f"entry {index + 1} of '{key}' stands twice", where=where, hint="keep one")
            whole = isinstance(entry, int) or (isinstance(entry, float) and entry.is_integer())
            if key == "top" and isinstance(entry, int | float) and entry > 1 and not whole:
                message = f"entry {index + 1} of 'top' is {entry:g}, neither a share nor a number of places"
                yield Complaint(message, where=where, hint="write 0.1 for a tenth of the list, or 10 for ten places")
    classes = stated.get("classes")
    if isinstance(classes, list) and len(classes) == 1:
        message = "'classes' names one class, and needs at least two"
        yield Complaint(message, where=locate((*here, "classes")), hint="name all, or none")
