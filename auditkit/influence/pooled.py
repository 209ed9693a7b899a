"""Scores of all processes together, and kept once they are finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auditkit.influence.bounds import OwnCheck
from auditkit.influence.curvature import Curvature
from auditkit.influence.iterative import IterativeCurvature
from auditkit.influence.measures import Evaluation
from auditkit.influence.models import Combined
from auditkit.influence.problem import Problem
from auditkit.influence.scoring import Scores, score
from auditkit.pieces import Keep
from auditkit.processes import Processes
from auditkit.result import Quality

_RECORDS = ("effects", "self_influence", "leverage", "plain_self")
_FACTS = ("form", "second_order", "capped", "unsettled")
_COUNTS = ("outside", "recomputed", "left")
_NOTE = "journal."
_INVERSE = "_inverse"


def pooled(problem: Problem, scores: Scores) -> Scores:
    """The scores of all N records in every process, from those of the records that each holds."""
    processes = problem.processes
    if processes.size == 1:
        return scores
    counts = processes.sum(torch.tensor([scores.capped, scores.unsettled]))
    effects, own, leverage, plain = (processes.rows(getattr(scores, name)) for name in _RECORDS)
    return replace(
        scores, effects=effects, self_influence=own, leverage=leverage, plain_self=plain,
        capped=int(counts[0]), unsettled=int(counts[1]), check=pooled_check(processes, scores.check),
    )  # fmt: skip


def pooled_check(processes: Processes, check: OwnCheck | None) -> OwnCheck | None:
    """What is known of the self-influence of the records of all processes."""
    if check is None or processes.size == 1:
        return check
    counts = processes.sum(torch.tensor([getattr(check, name) for name in _COUNTS])).tolist()
    worst = float(processes.maximum(torch.tensor([check.error], dtype=torch.float64))[0])
    return replace(check, error=worst, **dict(zip(_COUNTS, counts, strict=True)))


def kept_scores(problem: Problem, curvature: Curvature, evaluation: Evaluation, keep: Keep) -> Scores:
    """The scores of all N records, as the first process kept them, or computed now in all of them.

    What a solver noted while it scored is kept with them, because the report tells it.
    """
    processes = problem.processes
    piece = processes.same(keep.get("scores") if processes.first else None)
    if piece is not None:
        if isinstance(curvature, IterativeCurvature):
            _recall(curvature, piece)
        return _from_arrays(piece, problem)
    found = pooled(problem, score(problem, curvature, evaluation))
    if isinstance(curvature, IterativeCurvature):
        curvature.settle()
    if processes.first:
        keep.put("scores", _to_arrays(found) | _remembered(curvature))
    return found


def kept_ways(keep: Keep, name: str, compute: Callable[[], Sequence[Combined]]) -> Sequence[Combined]:
    """A model's scores, in one or several ways, as they were kept, or computed now and kept."""
    piece = keep.get(name)
    if piece is None:
        found = compute()
        arrays = {f"effects {k}": one.effects.cpu().numpy() for k, one in enumerate(found)}
        arrays |= {f"self {k}": one.self_influence.cpu().numpy() for k, one in enumerate(found)}
        told = [[row.model_dump() for row in one.quality] for one in found]
        keep.put(name, arrays | {"told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)})
        return found
    said = [tuple(Quality.model_validate(row) for row in rows) for rows in json.loads(piece["told"].tobytes())]
    return [
        Combined(torch.from_numpy(piece[f"effects {k}"]), torch.from_numpy(piece[f"self {k}"]), rows)
        for k, rows in enumerate(said)
    ]


def _to_arrays(scores: Scores) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {name: getattr(scores, name).cpu().numpy() for name in _RECORDS}
    if scores.gradient is not None:
        arrays["gradient"] = scores.gradient.cpu().numpy()
    told = {name: getattr(scores, name) for name in _FACTS} | {"said": [one.model_dump() for one in scores.quality]}
    told |= {"check": None if scores.check is None else asdict(scores.check)}
    return arrays | {"told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)}


def _from_arrays(arrays: dict[str, NDArray[Any]], problem: Problem) -> Scores:
    told = json.loads(arrays["told"].tobytes())
    found = {
        name: torch.from_numpy(arrays[name]).to(problem.targets.device)
        for name in (*_RECORDS, "gradient")
        if name in arrays
    }
    effects, own, leverage, plain = (found[name] for name in _RECORDS)
    said = tuple(Quality.model_validate(one) for one in told.pop("said"))
    check = told.pop("check")
    check = None if check is None else OwnCheck(**check)
    return Scores(effects, own, leverage, plain, gradient=found.get("gradient"), quality=said, check=check, **told)


def _remembered(curvature: Curvature) -> dict[str, NDArray[Any]]:
    """The solver's notes, and the inverse where it was solved for; what is solved once is noted once."""
    if not isinstance(curvature, IterativeCurvature):
        return {}
    notes = {f"{_NOTE}{name}": np.array(value) for name, value in asdict(curvature.journal).items()}
    inverse = vars(curvature).get(_INVERSE)
    return notes if inverse is None else notes | {_INVERSE: inverse.cpu().numpy()}


def _recall(curvature: IterativeCurvature, arrays: dict[str, NDArray[Any]]) -> None:
    """Put the solver's notes where they stood when the scores were finished."""
    for name, value in arrays.items():
        if name.startswith(_NOTE):
            setattr(curvature.journal, name.removeprefix(_NOTE), value.item())
    if _INVERSE in arrays:
        vars(curvature)[_INVERSE] = torch.from_numpy(arrays[_INVERSE]).to(curvature.problem.targets.device)
