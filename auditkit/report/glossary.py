"""The report's terms in plain words."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A term and its meaning in one or two sentences."""

    name: str
    meaning: str


TERMS = (
    Term("Impact ratio", "A group's selection rate divided by that of the reference group. One means equal rates."),
    Term("Four-fifths", "A rule of thumb: an impact ratio below 0.80 deserves a closer look. It is a screening "
         "figure, not a legal test."),
    Term("Selection rate", "The share of a group that gets the favourable decision."),
    Term("True-positive rate", "Of those whose label is favourable, the share that got the favourable decision."),
    Term("False-positive rate", "Of those whose label is unfavourable, the share that got the favourable decision. "
         "In the privacy section: of records that were not in the training data, the share wrongly taken for members."),
    Term("Interval", "The values that the data are compatible with at the stated level. A verdict rests on the whole "
         "interval, not on the single value, unless the policy asks for the point."),
    Term("Simultaneous interval", "An interval widened so that all groups of a rule are covered at once, by Šidák's "
         "correction or, in the bootstrap, by the largest standardised error over the groups (max-t)."),
    Term("Wilson, Clopper–Pearson, Korn–Graubard", "Intervals for a share: the first for general use, the second exact "
         "and never too narrow, the third the second where persons have several records."),
    Term("Bootstrap", "The figure computed again on many samples drawn from the same persons; the spread gives the "
         "interval."),
    Term("Design effect", "How much less several records of one person tell than as many persons would. An interval "
         "divides n by it."),
    Term("n", "The number of records that a figure rests on; for fidelity, of retrained models."),
    Term("Insufficient evidence", "The interval holds values on both sides of the threshold, or too few records or "
         "too many unknown memberships stand behind it. It is neither a pass nor a breach."),
    Term("Suppressed", "Not shown, because fewer records than the minimum cell stand behind the figure."),
    Term("Withheld", "Not shown, for the reason that stands beside it."),
    Term("Influence of a record", "The predicted change of a measure if the record were removed and the model "
         "retrained. A record raises or lowers a measure; a gap rests on records. That says nothing about intent "
         "or error."),
    Term("Fidelity", "How well predicted effects agree with effects measured by retraining, as a rank correlation: 1 "
         "is perfect, 0 is chance."),
    Term("Self-influence", "The influence of a record on its own loss. Rare and mislabelled records rank high. It is a "
         "ranking, not a probability of membership."),
    Term("Loss", "How far the model's prediction is from a record's label; small is close. In "
         "nats, a label that the model gives the probability p has the loss −ln p."),
    Term("Epsilon", "How much one record may change what a training gives out, as a claim of differential privacy "
         "states it; small is strong. Attacks show lower limits of it, never upper ones."),
    Term("Canary", "A made-up record that is put among the training records by the toss of a coin, to see whether the "
         "model gives the coin away."),
    Term("Membership inference", "Guessing from the model's output whether a record was in its training data."),
    Term("AUC", "The chance that the attack ranks a random member above a random non-member; 0.5 is guessing."),
    Term("Digest", "A fingerprint (SHA-256) of a file. Any change of the file changes its digest."),
    Term("Waiver", "A named person's acceptance of a breach until a date. The breach is printed and not counted."),
)  # fmt: skip
