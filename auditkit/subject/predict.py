"""Ask the model once for everything that the assessing rooms need: scores, decisions and losses of known rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import ModelError
from auditkit.subject.decisions import decisions_at
from auditkit.subject.inputs import ask
from auditkit.subject.types import Floats, Ints, Predictions, Split, Subject, Table


def predict(subject: Subject, table: Table) -> Predictions:
    """Scores and decisions of the evaluation rows, and per-record losses of every split.

    Where the subject has a threshold, a score of at least it is the favourable decision, both in the score's own
    precision (`decisions`). Losses are None where the subject has none or the split is absent.

    Raises:
        ModelError: an answer has the wrong length, is not finite, or a score lies outside [0, 1]; with the count.
    """
    evaluation = table.rows("evaluation")
    score, decision = decide_rows(subject, table, evaluation)
    return Predictions(
        decision=decision,
        score=score,
        truth=table.label[evaluation],
        loss=_losses(subject, table, "evaluation"),
        loss_train=_losses(subject, table, "train"),
        loss_reserve=_losses(subject, table, "reserve"),
    )


def decide_rows(subject: Subject, table: Table, rows: Ints) -> tuple[Floats | None, Floats]:
    """Scores [R] (None where there are none) and decisions [R] of some rows.

    Raises:
        ModelError: as `predict`.
    """
    score = None
    if subject.score is not None:
        question = subject.score
        score = checked_scores(ask(lambda frame, _: question(frame), subject, table, rows, "score"))
    if score is not None and subject.threshold is not None:
        decision = decisions_at(score, subject.threshold, precision=subject.precision)
    else:
        decision = ask(lambda frame, _: subject.decide(frame), subject, table, rows, "decision").astype(np.float64)
        wrong = int((~np.isin(decision, (0.0, 1.0))).sum())
        if wrong:
            raise ModelError(f"{wrong:,} of {len(decision):,} decisions are neither 1 nor 0")
    return None if score is None else score.astype(np.float64), decision


def scores(subject: Subject, table: Table, rows: Ints) -> Floats:
    """Scores [R] of some rows as they come, unchecked.

    Raises:
        ModelError: the subject has no scores, or gives another number of them.
    """
    if subject.score is None:
        raise ModelError("the model gives no scores")
    question = subject.score
    return ask(lambda frame, _: question(frame), subject, table, rows, "score").astype(np.float64)


def losses(subject: Subject, table: Table, rows: Ints) -> Floats:
    """Per-record losses [R] of some rows, nats; rows without a label are asked about as if they had one (0).

    Raises:
        ModelError: the subject has no losses, or gives another number of them.
    """
    if subject.loss is None:
        raise ModelError("the model gives no losses")
    question, label = subject.loss, np.nan_to_num(table.label)
    return ask(lambda frame, at: question(frame, label[at]), subject, table, rows, "loss").astype(np.float64)


def checked_scores(score: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The scores, if all are finite and in [0, 1].

    Raises:
        ModelError: some are not, with the count.
    """
    infinite = int((~np.isfinite(score)).sum())
    if infinite:
        raise ModelError(f"{infinite:,} of {len(score):,} scores are not finite numbers")
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        text = f"{outside:,} of {len(score):,} scores lie outside 0 to 1"
        raise ModelError(f"{text}; a score is the probability of the favourable outcome")
    return score


def _losses(subject: Subject, table: Table, split: Split) -> Floats | None:
    """Loss of every record of one split, in nats."""
    rows = table.rows(split)
    if subject.loss is None or not len(rows):
        return None
    loss = subject.loss
    found = ask(lambda frame, at: loss(frame, table.label[at]), subject, table, rows, "loss").astype(np.float64)
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise ModelError(f"{wrong:,} of {len(found):,} losses on the {split} records are not finite numbers")
    return found
