"""Rankings of training records: what they are, which are absent and why, and how they enter the screen's account."""

from __future__ import annotations

import numpy as np

from auditkit.privacy.rankings import (
    IQR,
    LEVERAGE,
    LOSS,
    NORM,
    NOTHING_TRACED,
    SELF,
    TRAJECTORY,
    Traced,
    arrays,
    rankings,
)
from auditkit.privacy.screen import Reference, screen
from auditkit.privacy.screen_quality import measured
from auditkit.subject.trajectory import Course


def test_all_of_them_in_order_with_the_quartiles_by_hand() -> None:
    rng = np.random.default_rng(0)
    course = Course(rng.gamma(1.0, 1.0, (5, 50)), rng.gamma(1.0, 1.0, 30))
    traced = Traced(course, "", rng.random(30), "", rng.random(30), "")
    found, absent = rankings(traced, self_influence=rng.random(30), loss=rng.random(30))
    assert list(found) == [SELF, TRAJECTORY, IQR, NORM, LEVERAGE, LOSS] and absent == ()
    # Of five numbers the quartiles are the second and the fourth.
    ordered = np.sort(course.loss[:, :30], axis=0)
    np.testing.assert_allclose(found[IQR], ordered[3] - ordered[1])
    assert set(arrays(found)) == {
        "ranking_trajectory_self", "ranking_loss_trace_iqr", "ranking_gradient_norm", "ranking_leverage",
    }  # fmt: skip


def test_what_a_model_does_not_have_is_named_with_its_reason() -> None:
    found, absent = rankings(
        Traced(no_course="solved at once", no_leverage="no curvature"), self_influence=np.ones(3), loss=np.ones(3)
    )
    assert list(found) == [SELF, LOSS]
    assert dict(absent)[TRAJECTORY] == dict(absent)[IQR] == "solved at once"
    assert dict(absent)[LEVERAGE] == "no curvature"
    assert rankings(NOTHING_TRACED, self_influence=None, loss=None)[0] == {}


def test_a_ranking_that_knows_the_truth_stands_above_the_loss_and_without_models_nothing_is_said() -> None:
    rng = np.random.default_rng(1)
    risk, own, loss = rng.uniform(0.5, 0.6, 2000), rng.chisquare(1, 2000), rng.gamma(1.0, 1.0, 2000)
    risk[:100] += 0.3
    course = Course(np.stack([np.full(2000, 0.7), np.where(risk > 0.7, 0.0, loss)]), own)
    found, absent = rankings(Traced(course, ""), self_influence=own, loss=loss)
    strangers = Reference(np.random.default_rng(0).chisquare(1, 2000), 0.10, np.random.default_rng(1))
    screened = screen(
        own, absent="", labels=np.ones(2000), groupings={}, persons=None, reference=strangers, level=0.95,
        minimum=10,
    )  # fmt: skip
    told = measured(
        screened.public, rankings={**found, NORM: risk}, absent=absent, flag=screened.flag, risk=risk, persons=None,
        level=0.95, minimum=10,
    )  # fmt: skip
    rows = {(row.ranking, row.selection): row for row in told.quality}
    best = rows[NORM, "highest 5%"]
    assert best.precision.value == best.recall.value == 1.0 and best.lift.value == 20.0
    assert rows[LOSS, "highest 5%"].precision.high is not None and rows[LOSS, "highest 5%"].precision.high < 0.3
    assert [row.ranking for row in told.quality if row.selection == "marked by the screen"] == [SELF]
    assert (LEVERAGE, "not known for this model") in told.not_ranked
    silent = measured(
        screened.public, rankings=found, absent=absent, flag=screened.flag, risk=None, persons=None, level=0.95,
        minimum=10,
    )  # fmt: skip
    assert silent.calibration == "uncalibrated" and silent.quality == () and silent.truth_share is None
