"""The loss-threshold attack: a record on which the model's loss is low is called a member."""

from __future__ import annotations

from auditkit.privacy.membership import Evidence, Scores


def score(evidence: Evidence) -> Scores:
    """Score each record by minus its loss.

    s(x, y) = -loss(model(x), y); a record is called a member when s lies above a threshold. One threshold
    serves all records, so the attack sees the average effect of training, not the exposure of one hard
    record: an AUC near 0.5 does not clear the records in the tail (Carlini et al. 2022, section III). A
    reserve drawn from another population than the training set raises or lowers the score without any
    memorisation.

    Source: Yeom, Giacomelli, Fredrikson, Jha, "Privacy Risk in Machine Learning", CSF 2018, Adversary 2.
    """
    return Scores(members=-evidence.loss_members, nonmembers=-evidence.loss_nonmembers)
