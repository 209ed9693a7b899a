"""Every membership attack, in plain sight; the contract tests run over this table."""

from __future__ import annotations

from typing import Final

from auditkit.privacy.attacks import loss_threshold
from auditkit.privacy.membership import Attack

ATTACKS: Final[dict[str, Attack]] = {
    "loss-threshold": Attack(
        title="Loss threshold",
        source="Yeom et al., Privacy Risk in Machine Learning, CSF 2018",
        score=loss_threshold.score,
    ),
}
