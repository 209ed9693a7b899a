"""Loss trace: how low the record's loss lay on the way, as one who watched the training saw it."""

from __future__ import annotations

from auditkit.errors import DataError
from auditkit.privacy.membership import Evidence, Scores


def score(evidence: Evidence) -> Scores:
    """Score each record by minus its mean loss over the checkpoints of the audited model's training.

    s_i = -1/C sum_c loss_c(x_i, y_i). A record that is trained on is pulled down from the first pass on, so that the
    mean keeps what the last loss alone no longer shows once everything fits. The attacker saw the training: one who
    developed the model or holds the checkpoints, not one who uses it.

    Source: Pollock, Shilov, Dodd & de Montjoye, Free Record-Level Privacy Risk Evaluation Through Artifact-Based
    Methods, arXiv 2411.05743 (LT-mean; their LT-IQR ranks members and stands in the screen). Like the plain loss it
    holds one threshold against all records, so hard records hide in it; and an easy record's trace is low whether
    it was trained on or not.

    Raises:
        DataError: the evidence holds no course of training.
    """
    if evidence.course is None:
        raise DataError("the loss-trace attack needs the losses at checkpoints of the training")
    return evidence.split(-evidence.course.mean(axis=0))
