"""What travels from the subject room to the assessing rooms: Table, Grouping, Subject, Predictions, Slice.

Legend: R rows of the table (all splits stacked), N training rows, M evaluation rows, K reserve rows, B a batch.
Labels and decisions are 1.0 for favourable, 0.0 for not, NaN where the file has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from auditkit.subject.sources import Source

Split: TypeAlias = Literal["train", "reserve", "evaluation"]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
UNKNOWN = -1
ALL_RECORDS = "all records"
"""Stands as the reference of a grouping whose groups are compared with all records."""


@dataclass(frozen=True)
class Grouping:
    """Membership of every row in the groups of one protected attribute (or intersection of several)."""

    name: str
    labels: tuple[str, ...]
    """Group labels in the policy's order; an intersection joins with ` · `."""
    codes: Ints
    """[R] index into labels; UNKNOWN (-1) where membership is not known."""
    reference: str
    reference_stated: bool
    """Whether the policy names the reference; else it is the largest group of the evaluation rows."""
    columns: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    """The attributes an intersection is made of; empty for a plain attribute."""
    chosen: str = ""
    """`largest`, `best` or `overall` (all records) where the policy has the reference chosen so."""


@dataclass(frozen=True)
class Check:
    """Something counted while reading (overlaps, unseen categories, unknown filter results), in words."""

    name: str
    count: int
    text: str


@dataclass(frozen=True)
class Table:
    """All rows of all splits with their keys, labels and protected membership."""

    frame: pd.DataFrame
    """[R] rows, RangeIndex, the files' columns; splits stacked in the order train, reserve, evaluation."""
    split: NDArray[np.str_]
    ids: NDArray[np.object_]
    """[R] record ids as text; file row numbers (1-based, per split) when the policy names no id column."""
    persons: NDArray[np.object_] | None
    label: Floats
    """[R] 1.0 favourable, 0.0 not favourable."""
    weights: Floats
    """[R] sample weights; ones when the policy names no weight column."""
    groupings: Mapping[str, Grouping]
    digests: Mapping[str, str]
    """sha256 of each data file, by split."""
    checks: tuple[Check, ...] = ()
    sources: Mapping[Split, Source] = field(default_factory=dict)
    """Where each split's rows are from, for a model that auditkit did not train."""

    def rows(self, split: Split) -> Ints:
        """Positions [.] of one split's rows in the table."""
        return np.flatnonzero(self.split == split)


@dataclass(frozen=True)
class Gradient:
    """What the influence engine needs of a differentiable model."""

    module: nn.Module
    """In eval mode, on its device, with the audited parameters."""
    tensors: Callable[[pd.DataFrame, Floats], tuple[tuple[Tensor, ...], Tensor]]
    """Frame [B] and labels [B] -> (inputs of the module, targets [B])."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """(outputs [B, C] or [B], targets [B]) -> per-record loss [B], no reduction, in nats."""
    favourable_score: Callable[[Tensor], Tensor]
    """outputs -> score of the favourable outcome [B] in [0, 1]."""
    weight_decay: float | Mapping[str, float]
    """lambda of the objective 1/N sum loss + lambda/2 |theta|^2; a mapping gives it by parameter name."""


@dataclass(frozen=True)
class Subject:
    """The audited model, however it was brought."""

    adapter: str
    kind: str
    """What it is, in words: `logistic regression`, `Pipeline (scikit-learn)`, `decisions from a file`."""
    digest: str
    threshold: float | None
    """A score of at least this is the favourable decision; None where `decide` alone decides."""
    score: Callable[[pd.DataFrame], NDArray[np.floating[Any]]] | None
    """Frame [B] -> score of the favourable outcome [B] in [0, 1], in the model's own precision; None when only
    decisions exist."""
    decide: Callable[[pd.DataFrame], Floats]
    """Frame [B] -> decision [B], 1.0 favourable."""
    loss: Callable[[pd.DataFrame, Floats], Floats] | None
    """(frame [B], labels [B]) -> per-record loss [B] in nats; None when there are no scores."""
    features: tuple[str, ...] = ()
    """Columns the model reads; used for duplicates. Empty when unknown."""
    parameters: int | None = None
    gradient: Gradient | None = None
    no_gradient_reason: str = ""
    train: Callable[[pd.DataFrame, Floats, torch.Generator], Subject] | None = None
    """Refit the same recipe on other rows (bank, remedies); None when the adapter cannot."""
    work: Callable[[float], float] | None = None
    """Rows -> operations of one such refit, as the adapter states them; None: by the number of parameters."""
    recipe: tuple[tuple[str, str], ...] = ()
    """(name, value) facts of how it was trained: L2, epochs, optimiser; for the report."""
    checks: Sequence[Check] = field(default_factory=tuple)
    """Counted while encoding: unseen categories by column, for example."""
    precision: str | None = None
    """Of the scores, where their dtype does not show it (`bfloat16`)."""
    views: Mapping[Split, pd.DataFrame] = field(default_factory=dict)
    """The frames that the model is given, by split, in place of auditkit's own reading of the table."""
    whole_split: bool = False
    """Whether it is asked about all rows of a split at once, as its owner's code would, rather than in batches."""


@dataclass(frozen=True)
class Predictions:
    """The model's answers: everything the assessing rooms need to know of it besides gradients."""

    decision: Floats
    """[M] evaluation rows, 1.0 favourable."""
    score: Floats | None
    truth: Floats
    """[M] labels of the evaluation rows."""
    loss: Floats | None
    loss_train: Floats | None
    """[N]"""
    loss_reserve: Floats | None
    """[K]"""


@dataclass(frozen=True)
class Slice:
    """A frozen set of evaluation rows under the audited model."""

    name: str
    kind: Literal["group", "intersection", "slice", "case"]
    mask: Mask
    """[M]"""
    where: str
    """The filter as its author wrote it; empty where its text may not be published."""
    why: str
    measure: Literal["loss", "score"] = "loss"
    unknown: int = 0
    """Rows for which the filter was NULL; counted, not members."""

    @property
    def n(self) -> int:
        """Members."""
        return int(self.mask.sum())
