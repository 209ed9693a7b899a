"""Aequitas's parities as rules: the ratio of a rate to the reference's lies within [tau, 1 / tau]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from auditkit.errors import Complaint, PolicyError
from auditkit.policy.explain import did_you_mean

JOINT: Final[Mapping[str, tuple[str, ...]]] = {
    "TypeI Parity": ("FDR Parity", "FPR Parity"),
    "TypeII Parity": ("FOR Parity", "FNR Parity"),
    "Equalized Odds": ("FPR Parity", "TPR Parity"),
    "Unsupervised Fairness": ("Statistical Parity", "Impact Parity"),
    "Supervised Fairness": ("TypeI Parity", "TypeII Parity"),
    "Overall Fairness": ("Unsupervised Fairness", "Supervised Fairness"),
}
"""Parities that hold where both of two others hold."""
USUAL: Final = (
    "Statistical Parity", "Impact Parity", "FDR Parity", "FPR Parity", "FNR Parity", "FOR Parity", "TPR Parity",
    "Precision Parity",
)  # fmt: skip
"""What Aequitas judges where the configuration names no measures."""
RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "Impact Parity": ("fairness.impact_ratio", ""),
    "FDR Parity": ("fairness.fdr_ratio", "fairness.for_ratio"),
    "FPR Parity": ("fairness.fpr_ratio", "fairness.fnr_ratio"),
    "FOR Parity": ("fairness.for_ratio", "fairness.fdr_ratio"),
    "FNR Parity": ("fairness.fnr_ratio", "fairness.fpr_ratio"),
    "TPR Parity": ("fairness.tpr_ratio", "fairness.tnr_ratio"),
    "TNR Parity": ("fairness.tnr_ratio", "fairness.tpr_ratio"),
    "NPV Parity": ("fairness.npv_ratio", "fairness.ppv_ratio"),
    "Precision Parity": ("fairness.ppv_ratio", "fairness.npv_ratio"),
}
"""Parity -> measure where a positive decision is favourable, and where it is unfavourable; empty: there is none."""
NO_STATISTICAL: Final = (
    "Statistical Parity compares each group's share of all positive decisions, which goes with the sizes of the "
    "groups; there is no such measure, and nothing is judged for it (Impact Parity compares rates)"
)
NO_IMPACT: Final = (
    "Impact Parity compares rates of unfavourable decisions here; there is a ratio of favourable ones only, which is "
    "another figure, and nothing is judged for it"
)


def rules(
    config: Mapping[str, Any], attributes_: tuple[str, ...], *, good: bool, told: list[str]
) -> Iterator[dict[str, Any]]:
    """Two rules a parity and attribute: the ratio at least tau, and at most 1 / tau."""
    tau = config.get("fairness_threshold", 0.8)
    if isinstance(tau, bool) or not isinstance(tau, int | float) or not 0 < tau <= 1:
        message = f"fairness_threshold is {tau!r}; Aequitas asks for more than 0 and at most 1"
        raise PolicyError(Complaint(message, "fairness_threshold"))
    because = f"Aequitas configuration, fairness_threshold {tau:g}"
    for parity in _parities(config):
        measure = RATIOS[parity][0 if good else 1] if parity in RATIOS else ""
        if not measure:
            told.append(f"fairness_measures: {NO_STATISTICAL if parity == 'Statistical Parity' else NO_IMPACT}")
            continue
        for on in attributes_:
            name = f"{parity.split()[0]}-{on}"
            base = {"measure": measure, "on": on, "severity": "medium", "because": because}
            yield {"id": f"{name}-low", **base, "op": ">=", "threshold": float(tau)}
            yield {"id": f"{name}-high", **base, "op": "<=", "threshold": 1 / float(tau)}


def _parities(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Single parities, in order, each once; joint ones as the two that they are made of."""
    stated = config.get("fairness_measures") or USUAL
    found: list[str] = []
    waiting = [str(name) for name in ([stated] if isinstance(stated, str) else stated)]
    while waiting:
        name = waiting.pop(0)
        if name in JOINT:
            waiting = [*JOINT[name], *waiting]
        elif name in RATIOS or name == "Statistical Parity":
            found.append(name)
        else:
            near = did_you_mean(name, [*RATIOS, *JOINT, "Statistical Parity"])
            hint = f"did you mean '{near}'?" if near else f"known are {', '.join([*RATIOS, *JOINT])}"
            raise PolicyError(Complaint(f"there is no fairness measure '{name}'", "fairness_measures", hint))
    return tuple(dict.fromkeys(found))
