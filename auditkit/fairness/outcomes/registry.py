"""Every metric of an outcome: what it is, where it is from, what 0 and 1 mean, and how it is estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from auditkit.fairness.outcomes.answers import Answers, Share
from auditkit.fairness.outcomes.methods import (
    absolute_error,
    accuracy,
    assigned,
    exposure,
    false_positive,
    mean_error,
    overestimated,
    precision,
    recall,
    top_share,
)
from auditkit.result.outcomes import OutcomeKind

Estimator = Literal["rate", "mean", "quantile"]
Versions = Literal["", "classes", "quantiles", "top"]


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    kind: OutcomeKind
    title: str
    formula: str
    source: str
    zero: str
    """What the value 0 means; and 1, below."""
    one: str
    shares: Callable[[Answers, int], tuple[Share, ...]]
    """(answers, position of the version) -> the ratios of sums whose mean the metric is; none: it does not apply."""
    estimator: Estimator
    versions: Versions = ""
    """Whether there is one of it a class, a quantile or a depth of the list."""
    compared: tuple[Literal["difference", "ratio"], ...] = ("difference",)
    trials_are: str = "records"
    """The records of a denominator, in words that follow "fewer than 10"."""

    def names(self, answers: Answers) -> tuple[str, ...]:
        """What each version is about."""
        if not self.versions:
            return ("",)
        if self.versions == "classes":
            return answers.classes
        if self.versions == "quantiles":
            return tuple(f"{q:g}" for q in answers.quantiles)
        return tuple(f"first {100 * k:g} %" if k < 1 else f"first {k:g}" for k in answers.top)


METHODS: Final[Mapping[str, Method]] = {
    "accuracy": Method(
        kind="classes", title="Accuracy", formula="records given their true class / records",
        source="sklearn.metrics.accuracy_score", zero="no record is given its true class",
        one="every record is given its true class", shares=accuracy.shares, estimator="rate",
    ),
    "macro_recall": Method(
        kind="classes", title="Recall, mean over classes", formula="mean over classes of the recall of the class",
        source="Sokolova and Lapalme, Inf. Process. Manag. 45 (2009) 427; sklearn.metrics.balanced_accuracy_score",
        zero="no record is given its true class", one="every record is given its true class",
        shares=recall.macro, estimator="rate", trials_are="records of one of the classes",
    ),
    "macro_precision": Method(
        kind="classes", title="Precision, mean over classes",
        formula="mean over classes of the precision of the class",
        source="Sokolova and Lapalme, Inf. Process. Manag. 45 (2009) 427; sklearn.metrics.precision_score (macro)",
        zero="no record is of the class that it is given", one="every record is of the class that it is given",
        shares=precision.macro, estimator="rate", trials_are="records given one of the classes",
    ),
    "assigned": Method(
        kind="classes", title="Share given the class", formula="records given the class / records",
        source="Calders and Verwer, Data Min. Knowl. Disc. 21 (2010) 277, one class against the rest",
        zero="nobody in the group is given the class", one="everybody in the group is given the class",
        shares=assigned.shares, estimator="rate", versions="classes", compared=("difference", "ratio"),
    ),
    "recall": Method(
        kind="classes", title="Recall of the class", formula="records of the class given it / records of the class",
        source="Hardt et al., NeurIPS 2016 (equal opportunity), one class against the rest",
        zero="no record of the class is recognised", one="every record of the class is recognised",
        shares=recall.shares, estimator="rate", versions="classes", trials_are="records of the class",
    ),
    "false_positive": Method(
        kind="classes", title="False-positive rate of the class",
        formula="records of other classes given the class / records of other classes",
        source="Hardt et al., NeurIPS 2016 (equalised odds), one class against the rest",
        zero="no record of another class is given the class", one="every record of another class is given the class",
        shares=false_positive.shares, estimator="rate", versions="classes", trials_are="records of other classes",
    ),
    "precision": Method(
        kind="classes", title="Precision of the class",
        formula="records of the class given it / records given the class",
        source="Chouldechova, Big Data 5 (2017) 153 (predictive parity), one class against the rest",
        zero="no record given the class is of it", one="every record given the class is of it",
        shares=precision.shares, estimator="rate", versions="classes", trials_are="records given the class",
    ),
    "mean_error": Method(
        kind="number", title="Mean error", formula="mean of prediction − truth",
        source="Calders et al., ICDM 2013, 71 (residual parity: equal mean residuals)",
        zero="predictions are right on average", one="predictions are one unit too high on average",
        shares=mean_error.shares, estimator="mean",
    ),
    "absolute_error": Method(
        kind="number", title="Mean absolute error", formula="mean of |prediction − truth|",
        source="Agarwal, Dudík and Wu, ICML 2019 (bounded group loss); sklearn.metrics.mean_absolute_error",
        zero="every prediction is right", one="predictions are one unit off on average",
        shares=absolute_error.shares, estimator="mean", compared=("difference", "ratio"),
    ),
    "overestimated": Method(
        kind="number", title="Share predicted too high", formula="records with prediction > truth / records",
        source="sign of the residual, as in the sign test",
        zero="no prediction is above the truth", one="every prediction is above the truth",
        shares=overestimated.shares, estimator="rate",
    ),
    "error_quantile": Method(
        kind="number", title="Quantile of the error",
        formula="smallest error (prediction − truth) that at least this share of records does not exceed",
        source="Woodruff, JASA 47 (1952) 635; numpy.quantile (inverted_cdf)",
        zero="this share of predictions is not above the truth", one="this share is at most one unit too high",
        shares=mean_error.shares, estimator="quantile", versions="quantiles",
    ),
    "exposure": Method(
        kind="ranking", title="Exposure", formula="mean of 1 / log₂(1 + place) / mean of the same over the list",
        source="Singh and Joachims, KDD 2018 (demographic parity of exposure)",
        zero="the group is never seen", one="the group is seen as much as its number is",
        shares=exposure.shares, estimator="mean", compared=("difference", "ratio"),
    ),
    "exposure_per_merit": Method(
        kind="ranking", title="Exposure per merit", formula="sum of exposure / sum of merit",
        source="Singh and Joachims, KDD 2018 (disparate treatment ratio)",
        zero="the group is never seen", one="as much exposure as merit, in their own units; compare ratios",
        shares=exposure.per_merit, estimator="mean", compared=("ratio",), trials_are="records with merit",
    ),
    "top_share": Method(
        kind="ranking", title="Share among the first places", formula="records among the first places / records",
        source="Yang and Stoyanovich, SSDBM 2017; ties count by the chance of standing there",
        zero="nobody in the group stands among the first", one="everybody in the group stands among the first",
        shares=top_share.shares, estimator="rate", versions="top", compared=("difference", "ratio"),
    ),
}  # fmt: skip
