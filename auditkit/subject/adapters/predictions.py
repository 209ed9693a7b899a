"""`adapter: predictions`: decisions (and perhaps scores) recorded in the evaluation file; there is no model to ask.

Fairness can be assessed; influence and privacy cannot, because nothing is known of training. The decision is a column
of 1/0 or true/false, a SQL expression, or, with neither, the score held against the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError, PolicyError
from auditkit.policy.predicate import parse
from auditkit.policy.schema import Policy
from auditkit.subject.decisions import decisions_at, threshold_of
from auditkit.subject.inputs import Answers
from auditkit.subject.types import Floats, Subject, Table
from auditkit.subject.values import levels, listing, means

REASON = "there is no model: the policy brings recorded decisions only"
EPSILON = float(np.finfo(np.float64).eps)
Ask = Callable[[pd.DataFrame], Floats]
Score = Callable[[pd.DataFrame], Answers]


def open_subject(policy: Policy, table: Table, base: Path) -> Subject:
    """The recorded decisions as a subject; `base` is not used, the data are already read.

    Raises:
        PolicyError: neither decision nor score is named, or the decision is no allowed expression.
        DataError: a decision is unknown, or a score is missing or outside [0, 1]; with the count.
    """
    model = policy.model
    frame = table.frame.iloc[table.rows("evaluation")]
    score = None if model.score is None else _score(model.score)
    threshold: float | None = None
    if model.decision is not None:
        decide, facts = _decision(model.decision, frame), [("Decision", model.decision)]
    elif score is not None:
        threshold = threshold_of(model)
        decide = _at_least(score, threshold)
        facts = [("Decision", f"{model.score} of at least {threshold:g}")]
    else:
        raise PolicyError("the predictions adapter needs model.decision or model.score")
    answers = [part(frame) for part in (decide, score) if part is not None]
    return Subject(
        adapter="predictions",
        kind="recorded decisions" if score is None else "recorded decisions and scores",
        digest=sha256(b"".join(answer.astype(np.float64).tobytes() for answer in answers)).hexdigest(),
        threshold=threshold,
        score=score,
        decide=decide,
        loss=None if score is None else _loss(score),
        features=(*policy.data.numeric, *policy.data.categorical),
        no_gradient_reason=REASON,
        recipe=tuple(facts),
    )


def _decision(decision: str, frame: pd.DataFrame) -> Ask:
    """A column's or an expression's decisions, checked once on the evaluation rows."""
    ask = _column(decision) if decision in frame.columns else _expression(decision)
    ask(frame)
    return ask


def _column(column: str) -> Ask:
    def decide(frame: pd.DataFrame) -> Floats:
        codes, names = levels(frame[column])
        yes = np.array([means(name, True) or means(name, 1) for name in names] + [False], dtype=bool)
        no = np.array([means(name, False) or means(name, 0) for name in names] + [False], dtype=bool)
        other = [name for name, known in zip(names, yes | no, strict=False) if not known]
        if other:
            hint = f"write a SQL expression, for example decision: \"{column} = '{other[0]}'\""
            message = f"the decision column {column!r} holds {listing(other)}, not 1 and 0"
            raise DataError(Complaint(message, "model.decision", hint))
        _refuse_unknown(codes < 0)
        return yes[codes].astype(np.float64)

    return decide


def _expression(expression: str) -> Ask:
    predicate = parse(expression, where="model.decision", name="the decision")

    def decide(frame: pd.DataFrame) -> Floats:
        mask, unknown = predicate.evaluate(frame)
        _refuse_unknown(unknown)
        return mask.astype(np.float64)

    return decide


def _refuse_unknown(unknown: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    """A record without a decision has no place in a rate of decisions."""
    if unknown.any():
        message = f"{int(unknown.sum()):,} of {len(unknown):,} decisions are unknown (a missing value)"
        hint = "audit the records that were decided, and say so under data.sampling"
        raise DataError(Complaint(message, "model.decision", hint))


def _score(column: str) -> Score:
    def score(frame: pd.DataFrame) -> Answers:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        # Of their own precision, in which they are held against the threshold.
        own = next((kind for kind in (np.float16, np.float32) if numbers.dtype == kind), np.float64)
        values: Answers = numbers.to_numpy(dtype=own)
        wrong = int((~((values >= 0) & (values <= 1))).sum())
        if wrong:
            message = f"{wrong:,} of {len(values):,} scores in {column!r} are missing, no number or outside 0 to 1"
            hint = "a score is the probability of the favourable outcome; leave model.score out if there is none"
            raise DataError(Complaint(message, "model.score", hint))
        return values

    return score


def _at_least(score: Score, threshold: float) -> Ask:
    return lambda frame: decisions_at(score(frame), threshold)


def _loss(score: Score) -> Callable[[pd.DataFrame, Floats], Floats]:
    """-log of the probability given to the label, probabilities kept from 0 by one rounding unit."""

    def loss(frame: pd.DataFrame, label: Floats) -> Floats:
        p = score(frame).astype(np.float64)
        right = np.where(label == 1.0, p, 1.0 - p)
        found: Floats = -np.log(np.clip(right, EPSILON, 1.0))
        return found

    return loss
