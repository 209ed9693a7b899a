"""METRICS: what is measured of every group, one row each, with fairlearn's own function beneath.

A metric is a rate over cells (truth, decision): events / trials. The cells give denominators, intervals and
disclosure control; the point value comes from fairlearn's MetricFrame over the same cells, weighted by their
counts. That is the number that fairlearn gives for the rows themselves (contract test), at a cost that does
not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from fairlearn import metrics as fairlearn
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_score

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cell = tuple[int, int]

TRUTHS, DECISIONS = 3, 2
MISSING = 2
"""Truth index of a record without a label; 0 is not favourable, 1 favourable."""
TN: Cell = (0, 0)
FP: Cell = (0, 1)
FN: Cell = (1, 0)
TP: Cell = (1, 1)
NEITHER: tuple[Cell, Cell] = ((MISSING, 0), (MISSING, 1))


@dataclass(frozen=True)
class Metric:
    """One row of the table."""

    title: str
    formula: str
    source: str
    zero: str
    """What the value 0 means; and 1, below."""
    one: str
    events: tuple[Cell, ...]
    trials: tuple[Cell, ...]
    trials_are: str
    """The records of the denominator, in words that follow "fewer than 10"."""
    function: Callable[..., float]
    """f(y_true, y_pred, sample_weight=...) -> rate."""

    @property
    def needs_truth(self) -> bool:
        """Whether records without a label are left out."""
        return NEITHER[0] not in self.trials


METRICS: Mapping[str, Metric] = {
    "selection_rate": Metric(
        title="Selection rate",
        formula="favourable decisions / records",
        source="Calders and Verwer, Data Min. Knowl. Disc. 21 (2010) 277; fairlearn.metrics.selection_rate",
        zero="nobody in the group gets the favourable decision",
        one="everybody in the group gets the favourable decision",
        events=(FP, TP, (MISSING, 1)),
        trials=(TN, FP, FN, TP, *NEITHER),
        trials_are="records",
        function=fairlearn.selection_rate,
    ),
    "tpr": Metric(
        title="True-positive rate",
        formula="favourable decisions with a favourable label / favourable labels",
        source="Hardt et al., NeurIPS 2016 (equal opportunity); fairlearn.metrics.true_positive_rate",
        zero="no record with a favourable label gets the favourable decision",
        one="every record with a favourable label gets the favourable decision",
        events=(TP,),
        trials=(FN, TP),
        trials_are="records with a favourable label",
        function=fairlearn.true_positive_rate,
    ),
    "fpr": Metric(
        title="False-positive rate",
        formula="favourable decisions with an unfavourable label / unfavourable labels",
        source="Hardt et al., NeurIPS 2016 (equalised odds); fairlearn.metrics.false_positive_rate",
        zero="no record with an unfavourable label gets the favourable decision",
        one="every record with an unfavourable label gets the favourable decision",
        events=(FP,),
        trials=(TN, FP),
        trials_are="records with an unfavourable label",
        function=fairlearn.false_positive_rate,
    ),
    "fnr": Metric(
        title="False-negative rate",
        formula="unfavourable decisions with a favourable label / favourable labels",
        source="Chouldechova, Big Data 5 (2017) 153; fairlearn.metrics.false_negative_rate",
        zero="no record with a favourable label gets the unfavourable decision",
        one="every record with a favourable label gets the unfavourable decision",
        events=(FN,),
        trials=(FN, TP),
        trials_are="records with a favourable label",
        function=fairlearn.false_negative_rate,
    ),
    "tnr": Metric(
        title="True-negative rate",
        formula="unfavourable decisions with an unfavourable label / unfavourable labels",
        source="Chouldechova, Big Data 5 (2017) 153; fairlearn.metrics.true_negative_rate",
        zero="no record with an unfavourable label gets the unfavourable decision",
        one="every record with an unfavourable label gets the unfavourable decision",
        events=(TN,),
        trials=(TN, FP),
        trials_are="records with an unfavourable label",
        function=fairlearn.true_negative_rate,
    ),
    "ppv": Metric(
        title="Positive predictive value",
        formula="favourable labels among favourable decisions / favourable decisions",
        source="Chouldechova, Big Data 5 (2017) 153 (predictive parity); sklearn.metrics.precision_score",
        zero="no favourable decision went to a record with a favourable label",
        one="every favourable decision went to a record with a favourable label",
        events=(TP,),
        trials=(FP, TP),
        trials_are="labelled records with a favourable decision",
        function=partial(precision_score, zero_division=0.0),
    ),
    "accuracy": Metric(
        title="Accuracy",
        formula="decisions that equal the label / labelled records",
        source="sklearn.metrics.accuracy_score",
        zero="no decision equals the label",
        one="every decision equals the label",
        events=(TN, TP),
        trials=(TN, FP, FN, TP),
        trials_are="labelled records",
        function=accuracy_score,
    ),
    "npv": Metric(
        title="Negative predictive value",
        formula="unfavourable labels among unfavourable decisions / unfavourable decisions",
        source="Verma and Rubin, FairWare 2018, 3.2.1; sklearn.metrics.precision_score of the unfavourable class",
        zero="no unfavourable decision went to a record with an unfavourable label",
        one="every unfavourable decision went to a record with an unfavourable label",
        events=(TN,),
        trials=(TN, FN),
        trials_are="labelled records with an unfavourable decision",
        function=partial(precision_score, pos_label=0, zero_division=0.0),
    ),
    "fdr": Metric(
        title="False-discovery rate",
        formula="unfavourable labels among favourable decisions / favourable decisions",
        source="Saleiro et al., Aequitas, arXiv:1811.05577; 1 - positive predictive value",
        zero="every favourable decision went to a record with a favourable label",
        one="no favourable decision went to a record with a favourable label",
        events=(FP,),
        trials=(FP, TP),
        trials_are="labelled records with a favourable decision",
        function=lambda *given, **more: 1 - precision_score(*given, zero_division=0.0, **more),
    ),
    "for": Metric(
        title="False-omission rate",
        formula="favourable labels among unfavourable decisions / unfavourable decisions",
        source="Saleiro et al., Aequitas, arXiv:1811.05577; 1 - negative predictive value",
        zero="no unfavourable decision went to a record with a favourable label",
        one="every unfavourable decision went to a record with a favourable label",
        events=(FN,),
        trials=(TN, FN),
        trials_are="labelled records with an unfavourable decision",
        function=lambda *given, **more: 1 - precision_score(*given, pos_label=0, zero_division=0.0, **more),
    ),
    "base_rate": Metric(
        title="Base rate",
        formula="favourable labels / labelled records",
        source="Kleinberg, Mullainathan and Raghavan, ITCS 2017; fairlearn.metrics.mean_prediction of the labels",
        zero="no record of the group has a favourable label",
        one="every record of the group has a favourable label",
        events=(FN, TP),
        trials=(TN, FP, FN, TP),
        trials_are="labelled records",
        function=lambda truth, decision, sample_weight=None: fairlearn.mean_prediction(
            decision, truth, sample_weight=sample_weight
        ),
    ),
}


def mask(cells: tuple[Cell, ...]) -> Ints:
    """Indicator [6] of these cells in the order truth x decision."""
    out = np.zeros((TRUTHS, DECISIONS), dtype=np.int64)
    out[tuple(np.array(cells).T)] = 1
    return out.ravel()


def rate_counts(metric: Metric, counts: Ints) -> tuple[Ints, Ints]:
    """Events [G] and trials [G] of a metric over cell counts [G, 6]."""
    return counts @ mask(metric.events), counts @ mask(metric.trials)


def values(counts: Ints | Floats) -> dict[str, Floats]:
    """Point values of every metric for every group by fairlearn's MetricFrame; NaN where nothing is counted.

    fairlearn gives 0 for TPR and FNR of a group without favourable labels; such a value is replaced by NaN
    here, for it is not estimable. Groups never reach fairlearn as labels but as positions, so that no name
    can be missing.

    Args:
        counts: [G, 6] records per cell, or their sums of weights.
    """
    out = {name: np.full(len(counts), np.nan) for name in METRICS}
    for needs_truth in (False, True):
        names = [name for name, metric in METRICS.items() if metric.needs_truth == needs_truth]
        for name, column in _frame(counts, names=names, labelled=needs_truth).items():
            trials = counts[column.index.to_numpy()] @ mask(METRICS[name].trials)
            out[name][column.index.to_numpy()] = np.where(trials > 0, column.to_numpy(dtype=np.float64), np.nan)
    return out


def _frame(counts: Ints | Floats, *, names: list[str], labelled: bool) -> dict[str, pd.Series[Any]]:
    """MetricFrame.by_group of these metrics, indexed by group position; groups without rows are absent."""
    group, cell = np.nonzero(counts[:, : mask(NEITHER).argmax()] if labelled else counts)
    if group.size == 0:
        return {}
    truth, decision = np.divmod(cell, DECISIONS)
    weight = {"sample_weight": counts[group, cell]}
    frame = fairlearn.MetricFrame(
        metrics={name: METRICS[name].function for name in names},
        y_true=np.where(truth == MISSING, 0, truth),
        y_pred=decision,
        sensitive_features=pd.Series(group, name="group"),
        sample_params=dict.fromkeys(names, weight),
    )
    return {name: frame.by_group[name] for name in names}
