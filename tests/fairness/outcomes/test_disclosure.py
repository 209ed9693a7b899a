"""No figure of an outcome tells of a few persons, and none is shown of what cannot be estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from auditkit.errors import DataError
from auditkit.fairness.outcomes.measuring import measure_outcome
from auditkit.policy.schema import FairnessSettings
from auditkit.release.blank import emptied
from auditkit.release.whole import across
from auditkit.result import FairnessPart, OutcomePart, OutcomeRow

QUICK = FairnessSettings(replicates=1000)


def of(kind: str, prediction: Any, truth: Any, sex: Any, **more: Any) -> OutcomePart:
    asked = {"groups": {"sex": sex}, "reference": {"sex": "m"}, "settings": QUICK} | more
    return measure_outcome(prediction, truth, kind=kind, **asked)


def rows(part: OutcomePart, metric: str, group: str = "f") -> list[OutcomeRow]:
    return [row for row in part.rows if (row.metric, row.on, row.group) == (metric, "sex", group)]


def numbers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return truth + rng.normal(size=n), truth, np.array(["f", "m", "m"] * (n // 3))


def test_a_small_group_shows_nothing_and_gives_no_comparison() -> None:
    said, truth, sex = numbers(300)
    sex[:] = "m"
    sex[:20] = "f"
    part = of("number", said, truth, sex)
    found = [row.estimate for row in part.rows if row.group == "f"]
    assert all(e.value is None and e.n is None and "fewer than 30" in e.withheld for e in found)
    assert len(found) > 8


def test_the_rest_of_the_whole_is_not_exact_either() -> None:
    said, truth, sex = numbers(300)
    sex[:] = "m"
    sex[:5] = "f"
    part = of("number", said, truth, sex)
    (mean,) = [row for row in rows(part, "mean_error", "m") if not row.comparison]
    assert mean.estimate.step > 0
    assert mean.estimate.n is None
    exact = (said - truth)[sex == "m"].mean()
    assert abs(mean.estimate.value - exact) <= mean.estimate.step / 2 + 1e-12
    # Half a minimum cell of records could be taken out of the group without leaving the step.
    assert mean.estimate.step >= 5 * (said - truth)[sex == "m"].std() / (sex == "m").sum()


def test_a_reference_of_one_person_is_no_reference() -> None:
    said, truth, sex = numbers(300)
    sex[:] = "f"
    sex[0] = "m"
    part = of("number", said, truth, sex)
    compared = [row for row in part.rows if row.comparison]
    assert compared
    assert all(row.estimate.value is None and row.estimate.withheld.startswith("reference:") for row in compared)


def test_a_few_missing_answers_close_the_group() -> None:
    said, truth, sex = numbers(600)
    said[np.flatnonzero(sex == "f")[:3]] = np.nan
    part = of("number", said, truth, sex)
    assert all(row.estimate.n is None for row in part.rows if row.on == "sex" and row.group == "f")
    assert "Fewer than 10 evaluation records" in part.notes[0]
    said[np.flatnonzero(sex == "f")[:40]] = np.nan
    part = of("number", said, truth, sex)
    assert {row.estimate.n for row in rows(part, "mean_error")} == {160}
    assert "40 evaluation records" in part.notes[0]


def test_one_dominant_error_is_not_found_from_the_mean() -> None:
    said, truth, sex = numbers(600)
    said[0] = truth[0] + 1e6
    part = of("number", said, truth, sex)
    (mean,) = [row for row in rows(part, "mean_error") if not row.comparison]
    n = (sex == "f").sum()
    assert mean.estimate.n is None
    # Whoever knows n still knows the largest error no better than to 15 % on either side.
    assert mean.estimate.step * n / 2 >= 0.149 * 1e6


def test_a_quantile_is_never_one_records_error() -> None:
    said, truth, sex = numbers(900)
    error = said - truth
    part = of("number", said, truth, sex, quantiles=(0.1, 0.5, 0.9))
    shown = [row for row in part.rows if row.metric == "error_quantile" and not row.comparison]
    assert len(shown) == 9
    for row in shown:
        own = error[sex == row.group] if row.on else error
        for figure in (row.estimate.value, row.estimate.low, row.estimate.high):
            assert (np.abs(own - figure) <= row.estimate.step).sum() >= 10
            assert np.abs(own - figure).min() > 0


def test_extreme_quantiles_of_few_records_are_not_estimated() -> None:
    said, truth, sex = numbers(300)
    part = of("number", said, truth, sex, quantiles=(0.01,))
    assert all("beyond this quantile" in row.estimate.withheld for row in rows(part, "error_quantile"))


def test_a_class_of_few_persons_has_no_name_and_no_exact_figures() -> None:
    rng = np.random.default_rng(4)
    truth = rng.choice(["x", "y"], 900).astype(object)
    truth[:4] = "Ostrava-Jih"
    said = np.where(rng.random(900) < 0.8, truth, "x")
    sex = np.array(["f", "m", "m"] * 300)
    part = of("classes", said, truth, sex)
    assert part.classes == ("x", "y", "other classes")
    assert "Ostrava" not in part.model_dump_json()
    assert all(row.estimate.n is None for row in part.rows if row.estimate.value is not None)


def test_classes_that_the_policy_does_not_name_are_told_together() -> None:
    rng = np.random.default_rng(5)
    truth = rng.choice(["a", "b", "c", "d"], 900)
    part = of("classes", truth, truth, np.array(["f", "m", "m"] * 300), classes=("b", "a"))
    assert part.classes == ("b", "a", "other classes")
    (other,) = [row for row in rows(part, "assigned") if row.of == "other classes" and not row.comparison]
    own = truth[::3]
    assert other.estimate.value == pytest.approx(np.isin(own, ["c", "d"]).mean(), abs=other.estimate.step / 2)


def test_a_class_that_nobody_has_is_not_recognised_perfectly() -> None:
    rng = np.random.default_rng(6)
    truth, sex = rng.choice(["x", "y"], 600), np.array(["f", "m"] * 300)
    truth[sex == "f"] = "x"
    part = of("classes", truth, truth, sex)
    (recall,) = [row for row in rows(part, "recall") if row.of == "y" and not row.comparison]
    (apart,) = [row for row in rows(part, "recall") if row.of == "y" and row.comparison]
    assert recall.estimate.value is None
    assert "not estimable: fewer than 10 records of the class" in recall.estimate.withheld
    assert apart.estimate.value is None
    macro = [row.estimate for row in rows(part, "macro_recall")]
    assert all(e.value is None for e in macro)


def test_figures_of_equal_numbers_have_no_interval_of_width_zero() -> None:
    said, truth, sex = np.ones(300), np.zeros(300), np.array(["f", "m"] * 150)
    part = of("number", said, truth, sex)
    for row in part.rows:
        if row.metric in ("mean_error", "absolute_error") and row.estimate.value is not None:
            assert row.estimate.low is None
            assert "no interval" in row.estimate.withheld


def test_equal_errors_of_a_closed_group_do_not_tell_its_size() -> None:
    said, truth, sex = np.zeros(300), np.zeros(300), np.array(["f", "m"] * 150)
    said[:4] = np.nan
    part = of("number", said, truth, sex)
    assert all(row.estimate.n is None for row in part.rows)


def test_few_lists_give_no_figures() -> None:
    rng = np.random.default_rng(7)
    part = of("ranking", rng.normal(size=600), None, np.array(["f", "m"] * 300), within=np.repeat(np.arange(10), 60))
    assert all("fewer than 20 lists" in row.estimate.withheld for row in part.rows)


def test_the_first_places_of_few_are_rounded() -> None:
    rng = np.random.default_rng(8)
    part = of("ranking", rng.normal(size=600), None, np.array(["f", "m"] * 300), top=(12,))
    for row in part.rows:
        assert row.estimate.n is None
        if row.estimate.value is not None:
            assert row.estimate.step > 0


def test_beside_an_earlier_release_nothing_is_left() -> None:
    said, truth, sex = numbers(600)
    part = of("number", said, truth, sex)
    whole = FairnessPart(status="assessed", outcomes=(part,))
    left = whole.model_copy(update=across(whole, "held")).outcomes[0]
    assert (left.status, left.reason, left.rows, left.name) == ("withheld", "held", (), "outcome")
    assert emptied(part, "held") == left


def test_a_missing_column_names_the_one_that_was_meant() -> None:
    import pandas as pd

    from auditkit.fairness.outcomes.reading import read_all
    from auditkit.policy.outcomes import Outcome

    frame = pd.DataFrame({"cost": [1.0], "guess": [2.0]})
    asked = {"o": Outcome(kind="number", truth="costs", prediction="guess")}
    with pytest.raises(DataError, match=r"outcomes\.o\.truth: no column 'costs'.*did you mean 'cost'"):
        read_all(asked, frame, persons=None, weights=None, minimum_cell=10)
