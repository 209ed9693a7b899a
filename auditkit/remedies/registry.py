"""Every remedy, in plain sight."""

from __future__ import annotations

from typing import Final

from auditkit.policy.remedies import RemedyName
from auditkit.remedies.types import Way
from auditkit.remedies.ways import deduplicate, dp_sgd, fewer_epochs, remove_flagged, stronger_l2

WAYS: Final[dict[RemedyName, Way]] = {
    "stronger-l2": Way(
        title="Stronger L2",
        source="Yeom et al., Privacy Risk in Machine Learning, CSF 2018, on overfitting and membership",
        propose=stronger_l2.propose,
    ),
    "fewer-epochs": Way(
        title="Fewer epochs",
        source="Tan et al., Parameters or Privacy, 2022, arXiv 2205.14055",
        propose=fewer_epochs.propose,
    ),
    "deduplicate": Way(
        title="De-duplication",
        source="Meeus et al., 2025, arXiv 2506.20481, on what copies hide and expose",
        propose=deduplicate.propose,
    ),
    "remove-flagged": Way(
        title="Removal of the records marked as exposed",
        source="Carlini et al., The Privacy Onion Effect, NeurIPS 2022",
        propose=remove_flagged.propose,
    ),
    "dp-sgd": Way(
        title="Differentially private training (DP-SGD)",
        source="Abadi et al., Deep Learning with Differential Privacy, CCS 2016; Opacus, arXiv 2109.12298",
        propose=dp_sgd.propose,
    ),
}
