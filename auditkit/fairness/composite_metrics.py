"""COMPOSITES: what is made of two rates, one row each: balanced accuracy, equalised odds, treatment equality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.metrics import FN, FP, Floats, Metric


@dataclass(frozen=True)
class Composite:
    """One row of the table."""

    title: str
    formula: str
    source: str
    zero: str
    """What the value 0 means; and 1, below."""
    one: str
    needs: tuple[str, str]
    """The denominators, in words."""


BALANCED, ODDS, TREATMENT = "balanced_accuracy", "equalised_odds_difference", "treatment_equality"
COMPOSITES: Mapping[str, Composite] = {
    BALANCED: Composite(
        title="Balanced accuracy",
        formula="(true-positive rate + true-negative rate) / 2",
        source="Brodersen et al., ICPR 2010; sklearn.metrics.balanced_accuracy_score",
        zero="no decision equals the label",
        one="every decision equals the label; one half is a decision that does not follow the label",
        needs=("records with a favourable label", "records with an unfavourable label"),
    ),
    ODDS: Composite(
        title="Equalised odds, difference",
        formula="the larger of the absolute differences in true-positive and in false-positive rate to the reference",
        source="Hardt et al., NeurIPS 2016; fairlearn.metrics.equalized_odds_difference of the two groups",
        zero="both rates equal the reference's",
        one="one of the two rates is 0 where the reference's is 1, or the reverse",
        needs=("records with a favourable label", "records with an unfavourable label"),
    ),
    TREATMENT: Composite(
        title="Treatment equality",
        formula="unfavourable decisions with a favourable label / favourable decisions with an unfavourable label",
        source="Berk et al., Sociol. Methods Res. 50 (2021) 3",
        zero="no error of the group is to its disadvantage",
        one="errors to the group's disadvantage and to its advantage are equally many",
        needs=("records with a favourable label decided unfavourably", "the reverse"),
    ),
}


def _unfavourable_errors(truth: Floats, decision: Floats, sample_weight: Floats | None = None) -> float:
    wrong = truth != decision
    return float(np.average(truth[wrong], weights=None if sample_weight is None else sample_weight[wrong]))


ERRORS = Metric(
    title="Unfavourable errors",
    formula="unfavourable decisions with a favourable label / decisions that differ from the label",
    source=COMPOSITES[TREATMENT].source,
    zero="no error is unfavourable",
    one="every error is unfavourable",
    events=(FN,),
    trials=(FP, FN),
    trials_are="decisions that differ from the label",
    function=_unfavourable_errors,
)
"""The share behind treatment equality: x / (1 - x) of it is the ratio of the two counts."""
