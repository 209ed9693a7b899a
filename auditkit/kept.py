"""A room's finished answer as a piece on disk and back: the part, field by field, and its arrays, bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from auditkit.influence.assess import InfluenceArrays
from auditkit.pieces import Keep
from auditkit.processes import Processes
from auditkit.result import FairnessPart, InfluencePart, PrivacyPart, Record, RemediesPart

P = TypeVar("P", bound=Record)

_PART = "part"
_NAMES = ("names", "kinds", "measures", "units")
_ARRAYS = ("rows", "effects", "self_influence")
_FURTHER = ("leverage", "reference")


def fairness(
    keep: Keep, assess: Callable[[], tuple[FairnessPart, dict[str, NDArray[Any]]]]
) -> tuple[FairnessPart, dict[str, NDArray[Any]]]:
    """The fairness room's answer, as it was kept, or as `assess` gives it now."""
    return _answer(keep, "fairness", FairnessPart, assess)


def privacy(
    keep: Keep, assess: Callable[[], tuple[PrivacyPart, dict[str, NDArray[Any]]]]
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    """The privacy room's answer, as it was kept, or as `assess` gives it now."""
    return _answer(keep, "privacy", PrivacyPart, assess)


def remedies(keep: Keep, assess: Callable[[], RemediesPart]) -> RemediesPart:
    """The remedies room's answer, as it was kept, or as `assess` gives it now."""
    return _answer(keep, "remedies", RemediesPart, lambda: (assess(), {}))[0]


def influence(
    keep: Keep, processes: Processes, assess: Callable[[], tuple[InfluencePart, InfluenceArrays | None]]
) -> tuple[InfluencePart, InfluenceArrays | None]:
    """The influence room's answer, as the first process kept it, or as `assess` gives it in all of them now."""

    def now() -> tuple[InfluencePart, dict[str, NDArray[Any]]]:
        part, scores = assess()
        return part, {} if scores is None else _from_scores(scores)

    part, arrays = _answer(_OfAll(keep, processes), "influence", InfluencePart, now)
    return part, _to_scores(arrays) if arrays else None


@dataclass(frozen=True)
class _OfAll:
    """What the first process keeps, given to all of them, so that all go on from it."""

    keep: Keep
    processes: Processes

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a finished piece, in every process."""
        return self.processes.same(self.keep.get(name) if self.processes.first else None)

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished piece, in the first process."""
        if self.processes.first:
            self.keep.put(name, arrays)


def _answer(
    keep: Keep, name: str, kind: type[P], now: Callable[[], tuple[P, Mapping[str, NDArray[Any]]]]
) -> tuple[P, dict[str, NDArray[Any]]]:
    kept = keep.get(f"{name}/answer")
    if kept is not None:
        return kind.model_validate(_said(kept.pop(_PART))), kept
    part, arrays = now()
    # Through Python's own JSON, which keeps numbers that are not finite; the result's JSON has no place for them.
    keep.put(f"{name}/answer", {_PART: _saying(part.model_dump()), **arrays})
    return part, dict(arrays)


def _from_scores(scores: InfluenceArrays) -> dict[str, NDArray[Any]]:
    told = {name: list(getattr(scores, name)) for name in _NAMES}
    further = {name: getattr(scores, name) for name in _FURTHER if getattr(scores, name) is not None}
    return {"columns": _saying(told)} | {name: getattr(scores, name) for name in _ARRAYS} | further


def _to_scores(arrays: Mapping[str, NDArray[Any]]) -> InfluenceArrays:
    names, kinds, measures, units = (tuple(_said(arrays["columns"])[name]) for name in _NAMES)
    rows, effects, own = (arrays[name] for name in _ARRAYS)
    return InfluenceArrays(rows, names, kinds, measures, units, effects, own, *(arrays.get(name) for name in _FURTHER))


def _saying(document: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)


def _said(content: NDArray[Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(content.tobytes())
    return document
