"""Without a reserve: the risk under the recipe from halves of the training records, and nobody is marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auditkit.pipeline import Audit
from auditkit.preflight import prepare
from auditkit.privacy import risk
from auditkit.privacy.membership import Retrained
from auditkit.run import audit_prepared, render
from tests.bank.lender import SIZES, write_lender

MLP = "{module: mlp, hidden: [4], epochs: 4, batch: 64}"


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return bare(tmp_path_factory.mktemp("bare"), privacy="{bank: 24}", training=MLP)


def bare(folder: Path, **given: str) -> Audit:
    path = write_lender(folder, **given)
    text = path.read_text().replace("  reserve: reserve.csv\n", "")
    for name, measure in (("P1", "privacy.exposed_share"), ("P2", "privacy.average_risk")):
        rule = f'  - {{id: {name}, measure: {measure}, op: "<=", threshold: 0.9, severity: low, because: A test}}\n'
        text = text.replace("rules:\n", f"rules:\n{rule}")
    path.write_text(text)
    return audit_prepared(prepare(path), as_of=None, command="")


def test_the_average_is_that_of_one_model_a_subset_of_the_kept_evidence(audit: Audit) -> None:
    """24 stated, a quarter of them subsets learned again, and twelve for the damping: 30 subsets."""
    part = audit.result.privacy.exposure
    assert part is not None and part.average is not None
    kept = {name: audit.arrays[f"bank_{name}"] for name in ("subset", "masks", "margin", "measuring")}
    assert kept["measuring"].sum() == 24 and len(kept["subset"]) == 36
    once = [int(np.flatnonzero(kept["subset"] == subset)[0]) for subset in range(30)]
    assert part.models == len(once) and part.learned_from == SIZES["train"] // 2
    known = Retrained(kept["margin"][once], kept["masks"][once])
    again = risk.average(known, members=SIZES["train"], level=0.95)
    assert part.average == again and audit.arrays["risk"].mean() == pytest.approx(part.average.value, abs=1e-9)


def test_nobody_is_marked_and_no_attack_is_measured_and_the_reasons_are_said(audit: Audit) -> None:
    private = audit.result.privacy
    assert private.exposure is not None and private.exposure.flagged is not None
    assert private.exposure.flagged.value is None
    assert "insufficient evidence" in private.exposure.flagged.withheld and not private.exposure.by_group
    assert {"membership_p", "membership_p_at_risk", "exposed_flag"}.isdisjoint(audit.arrays)
    attacks = [row for row in private.measurements if row.measure.endswith("_auc")]
    assert attacks and all("no reserve" in row.estimate.withheld for row in attacks)
    assert all(part.status == "not-applicable" for part in private.attacks)


def test_the_report_says_that_the_risks_lie_on_the_high_side(audit: Audit) -> None:
    text = render(audit.result, formats=("html",))["report.html"].decode()
    assert "learned from halves of the training records" in text and "no record is marked" in text
    assert "on the high side" in text and "The reserve allows" not in text


def test_a_rule_on_the_share_marked_is_insufficient_evidence_and_one_on_the_average_is_judged(audit: Audit) -> None:
    found = {f.id: f.verdict for f in audit.result.findings}
    assert found["P1"] == "insufficient-evidence" and found["P2"] == "meets"


def test_margins_and_parameters_are_among_the_evidence(audit: Audit) -> None:
    p = np.exp(-audit.arrays["bank_loss_pool"])
    np.testing.assert_allclose(audit.arrays["bank_margin"], np.log(p / (1 - p)), rtol=1e-8, atol=1e-10)
    assert audit.arrays["bank_parameters"].shape[0] == len(audit.arrays["bank_seeds"]) == 36
