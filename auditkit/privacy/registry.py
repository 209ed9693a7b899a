"""Every membership attack, in plain sight; the contract tests run over this table."""

from __future__ import annotations

from typing import Final

from auditkit.privacy.attacks import (
    calibrated_loss,
    lira,
    lira_offline,
    loss_threshold,
    loss_trace,
    quantile,
    rmia,
)
from auditkit.privacy.membership import Attack

ATTACKS: Final[dict[str, Attack]] = {
    "loss-threshold": Attack(
        title="Loss threshold",
        source="Yeom et al., Privacy Risk in Machine Learning, CSF 2018",
        score=loss_threshold.score,
        measures="loss_threshold_",
        auc="privacy.loss_threshold_auc",
    ),
    "lira": Attack(
        title="Likelihood ratio (LiRA, online)",
        source="Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022",
        score=lira.score,
        measures="lira_",
        auc="privacy.lira_auc",
        needs="retrained",
    ),
    "lira-offline": Attack(
        title="Likelihood ratio (LiRA, offline)",
        source="Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022, equation 4",
        score=lira_offline.score,
        measures="lira_offline_",
        auc="privacy.lira_offline_auc",
        needs="retrained",
    ),
    "rmia": Attack(
        title="Relative likelihood (RMIA)",
        source="Zarifzadeh et al., Low-Cost High-Power Membership Inference Attacks, ICML 2024",
        score=rmia.score,
        measures="rmia_",
        auc="privacy.rmia_auc",
        needs="retrained",
    ),
    "calibrated-loss": Attack(
        title="Calibrated loss",
        source="Watson et al., On the Importance of Difficulty Calibration in Membership Inference Attacks, ICLR 2022",
        score=calibrated_loss.score,
        measures="calibrated_",
        auc="privacy.calibrated_auc",
        needs="retrained",
    ),
    "quantile": Attack(
        title="Quantile regression",
        source="Bertran et al., Scalable Membership Inference Attacks via Quantile Regression, NeurIPS 2023",
        score=quantile.score,
        measures="quantile_",
        auc="privacy.quantile_auc",
        needs="features",
    ),
    "loss-trace": Attack(
        title="Loss trace (mean over the training)",
        source="Pollock et al., Free Record-Level Privacy Risk Evaluation Through Artifact-Based Methods, 2024",
        score=loss_trace.score,
        measures="trace_",
        auc="privacy.trace_auc",
        needs="course",
    ),
}
