"""Every membership attack, in plain sight; the contract tests run over this table."""

from __future__ import annotations

from typing import Final

from auditkit.privacy.attacks import lira, loss_threshold
from auditkit.privacy.membership import Attack

ATTACKS: Final[dict[str, Attack]] = {
    "loss-threshold": Attack(
        title="Loss threshold",
        source="Yeom et al., Privacy Risk in Machine Learning, CSF 2018",
        score=loss_threshold.score,
        measures="",
        auc="privacy.attack_auc",
    ),
    "lira": Attack(
        title="Likelihood ratio (LiRA, online)",
        source="Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022",
        score=lira.score,
        measures="lira_",
        auc="privacy.lira_auc",
        needs_retrained=True,
    ),
}
