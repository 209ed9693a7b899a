"""German credit through a scikit-learn pipeline and through XGBoost; then whether the matcher of figures can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policies.real.acceptance import hold_counts, hold_html, hold_pdf, hold_result, result_of
from tests.policies.real.blocks import blocks
from tests.policies.real.printed import INTERVAL, unexplained
from tests.policies.real.recompute import Audited, audit


@pytest.fixture(scope="module", params=["german_sklearn", "german_xgboost"])
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audit(request.param, tmp_path_factory.mktemp(request.param))


def test_every_figure_is_recomputed(audited: Audited) -> None:
    assert hold_result(audited) > 400


def test_every_printed_figure_is_in_the_result(audited: Audited) -> None:
    assert hold_html(audited) > 400
    assert hold_pdf(audited) > 1


def test_what_is_left_out_is_counted(audited: Audited) -> None:
    hold_counts(audited)


def test_influence_does_not_apply_and_says_why(audited: Audited) -> None:
    part = audited.document["influence"]
    assert part["status"] == "not-applicable"
    assert "no gradients" in part["reason"]


def test_a_misprinted_interval_is_found(audited: Audited, tmp_path: Path) -> None:
    """Every interval of the report with its lower limit misprinted by one unit of the last digit."""
    text, result = audited.html.read_text("utf-8"), result_of(audited)
    printed = {low for block in blocks(audited.html) for low, _ in INTERVAL.findall(block.text) if "." in low}
    assert len(printed) > 10
    for low in sorted(printed):
        digits = len(low.partition(".")[2])
        wrong = f"{float(low.replace('−', '-').replace(',', '')) + 10.0**-digits:,.{digits}f}".replace("-", "−")
        copy = tmp_path / "report.html"
        for join in ("\u00a0to", " to"):
            text_wrong = text.replace(f">{low}{join}", f">{wrong}{join}")
            if text_wrong != text:
                copy.write_text(text_wrong, "utf-8")
                assert unexplained(result, copy), f"{low} misprinted as {wrong}"
