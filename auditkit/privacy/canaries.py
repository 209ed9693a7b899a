"""Canaries: made-up records, inserted by coin into one retraining of the audited model's recipe.

How they are made: features, weight and everything else of training records drawn at random without repetition, under
the label that the audited model's decision denies. Of the rules that were tried (labels turned round, columns drawn one
by one from their marginals, reserve records) this one is remembered best: 200 canaries among the 4,000 of the sample
lender, an overfit network: AUC over the coins 0.80; 0.78 with labels turned round, 0.66 with independent columns.

How they are scored: margin under the retrained model less margin under the audited model, which learned from none of
them. So no further model is needed to know how hard a canary is, and the score depends on the coins through the
retrained model alone, as the theorem of `one_run` asks.

A canary is a person of its own, whatever its features; the limit is about adding one record, of the recipe on the
training records with the canaries among them, and not about the audited parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch

from auditkit.bank.kept import kept
from auditkit.bank.margins import margins
from auditkit.errors import ModelError, NumericsError
from auditkit.pieces import Keep, Nothing
from auditkit.privacy.one_run import Planted
from auditkit.subject.fitting import one_thread
from auditkit.subject.inputs import inputs
from auditkit.subject.types import Floats, Subject, Table

NO_TRAIN: Final = "the model cannot be retrained: its adapter gives no way to fit it on other records"
NO_SCORES: Final = "the model gives no losses, so no canary can be scored"
NOT_ASKED: Final = "the policy asks for no canaries (privacy.canaries: 0)"
RULE: Final = (
    "features of training records drawn at random without repetition, under the label that the audited model's "
    "decision denies; each inserted by a fair coin; scored by the margin that one retraining gives it less the margin "
    "that the audited model gives it"
)
_NOWHERE: Final = Nothing()


@dataclass(frozen=True)
class Canaries:
    """The made-up records [m] with their labels and coins."""

    frame: pd.DataFrame
    label: Floats
    inserted: np.ndarray[tuple[int], np.dtype[np.bool_]]


def draw(subject: Subject, table: Table, count: int, *, label: str, generator: np.random.Generator) -> Canaries:
    """Make the canaries and toss their coins.

    Args:
        subject: the audited model, whose decisions the labels deny. table: its data; at least `count` training rows.
        count: m. label: the label's column, which is rewritten as well, for code that reads it. generator: draws both.
    """
    rows = table.rows("train")
    chosen = generator.choice(rows, size=count, replace=False)
    inserted = generator.random(count) < 0.5
    frame = inputs(subject, table, chosen).reset_index(drop=True)
    denied: Floats = 1.0 - subject.decide(frame)
    if label in frame.columns:
        examples = [rows[np.flatnonzero(table.label[rows] == value)[0]] for value in (0.0, 1.0)]
        written = inputs(subject, table, np.array(examples, dtype=np.int64))[label]
        # Of the column's own values, so that its type stays what it is.
        frame[label] = pd.Series(written.array[denied.astype(np.int64)], index=frame.index)
    return Canaries(frame, denied, inserted)


def plant(
    subject: Subject,
    table: Table,
    count: int,
    *,
    label: str,
    generator: np.random.Generator,
    keep: Keep = _NOWHERE,
) -> tuple[Planted | None, str]:
    """Retrain once with the canaries among the training records; or None and why it was not done.

    Args:
        subject: the audited model. table: its data. count: m, 0 for none. label: the label's column.
        generator: draws canaries, coins and the retraining's seed. keep: where the retrained model's answers are left.
    """
    rows = table.rows("train")
    refusal = _refusal(subject, table, count)
    if refusal or subject.train is None or subject.loss is None:
        return None, refusal
    made = draw(subject, table, count, label=label, generator=generator)
    seed = int(generator.integers(0, 2**62))
    among = pd.concat([inputs(subject, table, rows), made.frame[made.inserted]], ignore_index=True)
    labels = np.concatenate([table.label[rows], made.label[made.inserted]])
    train, before = subject.train, subject.loss(made.frame, made.label)

    def answers() -> dict[str, torch.Tensor]:
        with one_thread():
            again = train(among, labels, torch.Generator().manual_seed(seed))
            if again.loss is None:
                raise ModelError("the retrained model gives no losses")
            return {"loss": torch.from_numpy(again.loss(made.frame, made.label))}

    try:
        after = kept(keep, "canaries", answers)["loss"].numpy()
    except NumericsError as error:
        return None, f"retraining with the canaries failed: {error}"
    score = margins(after) - margins(before)
    if not np.isfinite(score).all():
        return None, "some canaries have no finite score"
    return Planted(score=score, inserted=made.inserted, among=len(rows), rule=RULE), ""


def _refusal(subject: Subject, table: Table, count: int) -> str:
    """Why there are no canaries; empty where there can be."""
    rows = table.rows("train")
    if not count:
        return NOT_ASKED
    if subject.train is None:
        return NO_TRAIN
    if subject.loss is None:
        return NO_SCORES
    if count > len(rows):
        return f"{count:,} canaries are more than the {len(rows):,} training records that they are made of"
    if len(np.unique(table.label[rows])) < 2 or not np.isfinite(table.label[rows]).all():
        return "the training records do not have both labels, each record one of them"
    return ""
