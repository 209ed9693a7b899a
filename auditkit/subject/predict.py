"""Ask the model once for everything that the assessing rooms need: scores, decisions and losses of known rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from auditkit.errors import ModelError
from auditkit.subject.types import Floats, Ints, Predictions, Split, Subject, Table

BATCH = 8192


def predict(subject: Subject, table: Table) -> Predictions:
    """Scores and decisions of the evaluation rows, and per-record losses of every split.

    A score of at least `subject.threshold` is the favourable decision. Losses are None where the subject has none or
    the split is absent.

    Raises:
        ModelError: an answer has the wrong length, is not finite, or a score lies outside [0, 1]; with the count.
    """
    evaluation = table.rows("evaluation")
    score = None
    if subject.score is not None:
        score = checked_scores(_batched(subject.score, table.frame, evaluation, "score"))
    if score is not None and subject.threshold is not None:
        decision = (score >= subject.threshold).astype(np.float64)
    else:
        decision = _batched(subject.decide, table.frame, evaluation, "decision")
        wrong = int((~np.isin(decision, (0.0, 1.0))).sum())
        if wrong:
            raise ModelError(f"{wrong:,} of {len(decision):,} decisions are neither 1 nor 0")
    return Predictions(
        decision=decision,
        score=score,
        truth=table.label[evaluation],
        loss=_losses(subject, table, "evaluation"),
        loss_train=_losses(subject, table, "train"),
        loss_reserve=_losses(subject, table, "reserve"),
    )


def checked_scores(score: Floats) -> Floats:
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
    parts = [loss(table.frame.iloc[part], table.label[part]) for part in _parts(rows)]
    found = _joined(parts, len(rows), "loss")
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise ModelError(f"{wrong:,} of {len(found):,} losses on the {split} records are not finite numbers")
    return found


def _batched(ask: Callable[[pd.DataFrame], Floats], frame: pd.DataFrame, rows: Ints, what: str) -> Floats:
    """Ask in batches, so that a large table does not become one large tensor."""
    return _joined([ask(frame.iloc[part]) for part in _parts(rows)], len(rows), what)


def _parts(rows: Ints) -> list[Ints]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _joined(parts: list[Floats], length: int, what: str) -> Floats:
    """The batches' answers as one float64 array [length]."""
    found = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
    if found.shape != (length,):
        raise ModelError(f"the model gave a {what} of shape {found.shape} for {length:,} records; one each is needed")
    return found
