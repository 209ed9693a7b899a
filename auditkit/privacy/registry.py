"""Every membership attack, in plain sight; the contract tests run over this table."""

from __future__ import annotations

from typing import Final

from auditkit.privacy.attacks import calibrated_loss, lira, lira_offline, loss_threshold, rmia
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
    "lira-offline": Attack(
        title="Likelihood ratio (LiRA, offline)",
        source="Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022, equation 4",
        score=lira_offline.score,
        measures="lira_offline_",
        auc="privacy.lira_offline_auc",
        needs_retrained=True,
    ),
    "rmia": Attack(
        title="Relative likelihood (RMIA)",
        source="Zarifzadeh et al., Low-Cost High-Power Membership Inference Attacks, ICML 2024",
        score=rmia.score,
        measures="rmia_",
        auc="privacy.rmia_auc",
        needs_retrained=True,
    ),
    "calibrated-loss": Attack(
        title="Calibrated loss",
        source="Watson et al., On the Importance of Difficulty Calibration in Membership Inference Attacks, ICLR 2022",
        score=calibrated_loss.score,
        measures="calibrated_",
        auc="privacy.calibrated_auc",
        needs_retrained=True,
    ),
}
