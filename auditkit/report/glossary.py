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
    Term("p", "How often data like these would show a difference at least as large if there were none. Small is "
         "evidence of a difference; large is no evidence that there is none. Adjusted: put right for how many were "
         "tested."),
    Term("Permutation test", "The figure computed again with the groups dealt out at random, many times; how often it "
         "comes out as large gives p."),
    Term("Alike", "Shown to differ by less than a stated margin, with the whole interval inside it. That no difference "
         "was found does not show it."),
    Term("Detectable gap", "The smallest difference that so many records would show with the stated probability. A gap "
         "that is smaller can easily go unseen."),
    Term("Design effect", "How much less several records of one person tell than as many persons would. An interval "
         "divides n by it."),
    Term("n", "The number of records that a figure rests on; for fidelity, of retrained models."),
    Term("Calibration", "Whether a score means what it says: of the records with a score near a value, that share has "
         "the favourable label. The calibration error is the mean distance between the two, the Brier score the mean "
         "square of the distance between score and label."),
    Term("Within strata", "Compared among records that share a value of another column, and drawn together over its "
         "values. A difference over all records can vanish or reverse within strata."),
    Term("Slice", "The records that meet one or several conditions. Slices that nobody named were found on one half of "
         "the persons and tested on the other."),
    Term("False-discovery level", "Of the slices called confirmed, the share that may on average be chance."),
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
    Term("Strongest attack", "Of all membership attacks that were run on the model, the one that told most. A measure "
         "that names no attack is the strongest one's, with an interval for the largest true figure."),
    Term("AUC", "The chance that a random record of one kind scores above one of the other; 0.5 is guessing. For an "
         "attack: members above non-members; for a model's scores: favourable labels above unfavourable ones."),
    Term("Digest", "A fingerprint (SHA-256) of a file. Any change of the file changes its digest."),
    Term("Waiver", "A named person's acceptance of a breach until a date. The breach is printed and not counted."),
)  # fmt: skip
