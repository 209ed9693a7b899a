from __future__ import annotations

import pytest

from auditkit.policy.frameworks import available, load_framework
from auditkit.policy.measures import ELSEWHERE, MEASURES, find, suggest, title, tpr_at_fpr

RATES = (0.001, 0.01)


def test_names_begin_with_their_family() -> None:
    assert all(name.split(".")[0] == measure.family for name, measure in MEASURES.items())


def test_only_fairness_is_judged_on_groups() -> None:
    assert all(measure.needs_on == (measure.family == "fairness") for measure in MEASURES.values())


def test_units_and_ranges_agree() -> None:
    spreads = {"fairness.standardised_difference"}  # in standard deviations, without bounds
    for name, measure in MEASURES.items():
        if name in spreads:
            assert (measure.low, measure.high) == (float("-inf"), float("inf"))
            continue
        expected = {"rate": (0, 1), "share": (0, 1), "score": (0, 1), "points": (-1, 1), "ratio": (0, float("inf"))}
        limit = (0, float("inf")) if name.endswith("epsilon_lower_bound") else None  # no scale ends at 1
        assert (measure.low, measure.high) == (limit or expected.get(measure.unit, (float("-inf"), float("inf")))), name


def test_the_attacks_rate_is_a_measure_at_the_policys_rates_only() -> None:
    assert tpr_at_fpr(0.001) == "privacy.tpr_at_fpr_0.001"
    found = find("privacy.tpr_at_fpr_0.01", false_positive_rates=RATES)
    assert found is not None and found.unit == "rate" and not found.needs_on
    assert find("privacy.tpr_at_fpr_0.1", false_positive_rates=RATES) is None
    assert find("privacy.tpr_at_fpr_0.010", false_positive_rates=RATES) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("fairness.impact-ratio", "fairness.impact_ratio"),
        ("impact_ratio", "fairness.impact_ratio"),
        ("fairness.equal_opportunity_difference", "fairness.tpr_difference"),
        ("fairness.selection_rate_ratio", "fairness.impact_ratio"),
        ("privacy.atack_auc", "privacy.attack_auc"),
        ("model.acuracy", "model.accuracy"),
        ("weather", None),
    ],
)
def test_suggestions(written: str, meant: str | None) -> None:
    assert suggest(written, false_positive_rates=RATES) == meant


def test_names_from_elsewhere_lead_to_measures_and_are_none() -> None:
    assert set(ELSEWHERE.values()) <= set(MEASURES)
    assert not {f"fairness.{name}" for name in ELSEWHERE if name != "accuracy"} & set(MEASURES)


def test_every_measure_has_a_title_of_words() -> None:
    names = [*MEASURES, tpr_at_fpr(0.01)]
    assert all(title(name)[0].isupper() and "_" not in title(name) for name in names)
    assert title("fairness.tpr_difference") == "Difference in true-positive rate"
    assert title(tpr_at_fpr(0.01)).endswith("0.01")


def test_rule_sets_speak_of_measures_that_exist() -> None:
    for name in available():
        for computed in load_framework(name).computed:
            for measure in computed.measures:
                assert find(measure, false_positive_rates=(0.001, 0.01, 0.1)) is not None, (name, measure)
