"""Scores by group: contracts with sklearn, coverage, calibration, persons, and what is not shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from auditkit.fairness.calibration import binned, error
from auditkit.fairness.cells import cell_of, count
from auditkit.fairness.groups import standing
from auditkit.fairness.scored import Scored
from auditkit.fairness.scores import standardised
from auditkit.fairness.setting import Setting
from auditkit.policy.measures import MEASURES
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart, ScoreGroup
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Predictions
from tests.fairness.evaluations import estimate, grouping, part, predictions


def draw(n: int, *, seed: int, shift: float = 0.0) -> tuple[np.ndarray, Predictions]:
    """Groups `a` and `b`; scores that are calibrated up to a shift."""
    generator = np.random.default_rng(seed)
    score = generator.beta(2, 2, n)
    truth = (generator.uniform(size=n) < np.clip(score + shift, 0, 1)).astype(float)
    group = np.where(generator.uniform(size=n) < 0.6, "a", "b")
    return group, replace(predictions(truth=truth, decision=(score >= 0.5) * 1.0), score=score)


def audited(group: np.ndarray, answers: Predictions, **options: object) -> FairnessPart:
    return part([grouping("sex", group, labels=["a", "b"], reference="a")], answers, **options)  # type: ignore[arg-type]


def scored(group: np.ndarray, answers: Predictions, persons: np.ndarray | None = None) -> Scored:
    own = grouping("sex", group, labels=["a", "b"], reference="a")
    cells = count(
        codes=own.codes, groups=2, cell=cell_of(truth=answers.truth, decision=answers.decision), persons=persons
    )
    settings = FairnessSettings(replicates=2_000)
    state = standing(cells, settings=settings, minimum_cell=10, along=(np.arange(3),))
    assert answers.score is not None
    codes = person_codes(persons, len(group))
    return Scored(Setting(own, cells, state, settings, 10), answers.score, answers.truth, codes)


def series(found: FairnessPart, group: str) -> ScoreGroup:
    (row,) = [s for s in found.scores if s.group == group]
    return row


def test_points_are_sklearns() -> None:
    group, answers = draw(1_500, seed=1)
    found = audited(group, answers)
    assert answers.score is not None
    for name in ("a", "b"):
        own = group == name
        truth, score = answers.truth[own], answers.score[own]
        assert estimate(found, "auc", name).value == pytest.approx(roc_auc_score(truth, score))
        assert estimate(found, "brier", name).value == pytest.approx(brier_score_loss(truth, score))
        assert estimate(found, "auc", name).n == own.sum()
    a, b = (answers.score[group == name] for name in ("a", "b"))
    wanted = (b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2)
    assert estimate(found, "standardised_difference", "b").value == pytest.approx(wanted)
    assert estimate(found, "auc", "", on="").value == pytest.approx(roc_auc_score(answers.truth, answers.score))


def test_decisions_alone_say_nothing_of_scores() -> None:
    group, answers = draw(500, seed=2)
    found = audited(group, replace(answers, score=None))
    assert not found.scores and not [m for m in found.measurements if m.measure == "fairness.auc"]
    assert not [note for note in found.metrics if note.measure == "fairness.auc"]


def test_scores_move_no_figure_of_the_decisions() -> None:
    group, answers = draw(500, seed=2)
    with_, without = audited(group, answers), audited(group, replace(answers, score=None))
    kept = {m.measure for m in without.measurements}
    assert [m for m in with_.measurements if m.measure in kept] == list(without.measurements)


@pytest.mark.parametrize("shift", [0.0, 0.12])
def test_the_calibration_errors_interval_covers(shift: float) -> None:
    """A percentile interval never holds 0, the error of a calibrated score."""
    held, repeats = 0, 150
    for seed in range(repeats):
        group, answers = draw(1_200, seed=seed, shift=shift)
        own = scored(group, answers)
        found = binned(own, 0)
        chance = np.clip(found.score + shift, 0, 1) - found.score
        target = np.abs(np.bincount(found.code, weights=chance)).sum() / found.score.size
        made = error(own, 0, 0.95, np.random.default_rng(seed))
        assert made.low is not None and made.high is not None
        held += made.low <= target <= made.high
    assert held / repeats >= 0.92


def test_the_note_says_how_far_the_error_is_biased() -> None:
    group, answers = draw(1_200, seed=4)
    found = audited(group, answers)
    (row,) = [m for m in found.measurements if (m.measure, m.group) == ("fairness.calibration_error", "a")]
    (note,) = row.parts
    floor = float(note.split("about ")[1].split(" ")[0])
    values = []
    for seed in range(60):
        own = scored(*draw(1_200, seed=100 + seed))
        bins = binned(own, 0)
        values.append(np.abs(bins.gap).sum() / bins.score.size)
    assert np.mean(values) == pytest.approx(floor, rel=0.15)


def test_standardised_differences_cover() -> None:
    held = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        group = np.repeat(["a", "b"], [120, 60])
        score = np.concatenate([generator.beta(2, 5, 120), generator.beta(3, 4, 60)])
        truth = np.tile([0.0, 1.0], 90)
        own = scored(group, replace(predictions(truth=truth, decision=truth), score=score))
        made = standardised(own, 1, 0.95)
        means, spreads = (2 / 7, 3 / 7), (10 / 49 / 8, 12 / 49 / 8)
        target = (means[1] - means[0]) / np.sqrt(sum(spreads) / 2)
        assert made.low is not None and made.high is not None
        held += made.low <= target <= made.high
    assert 0.92 <= held / 400 <= 0.98


def test_repeated_persons_widen_what_the_scores_say() -> None:
    group, answers = draw(600, seed=5)
    twice, doubled = np.repeat(group, 2), Predictions(
        *(None if x is None else np.repeat(x, 2) for x in (answers.decision, answers.score, answers.truth)),  # type: ignore[arg-type]
        None, None, None,
    )  # fmt: skip
    persons = np.repeat(np.arange(600), 2).astype(object)
    alone, kept = audited(twice, doubled), audited(twice, doubled, persons=persons)
    for measure in ("auc", "standardised_difference", "brier"):
        single, paired = (estimate(found, measure, "b") for found in (alone, kept))
        assert single.value == paired.value
        assert None not in (single.low, single.high, paired.low, paired.high)
        ratio = (paired.high - paired.low) / (single.high - single.low)  # type: ignore[operator]
        assert 1.3 < ratio < 1.5, measure


def test_series_have_no_step_below_the_minimum_cell() -> None:
    group, answers = draw(700, seed=6)
    found = series(audited(group, answers), "b")
    n = int((group == "b").sum())
    steps = np.diff([p.y for p in found.distribution.points]) * n
    assert found.distribution.points[-1].y == 1.0
    assert all(step == 0 or round(step) >= 10 for step in steps)
    assert all(p.low is not None and p.high is not None and p.low <= p.y <= p.high for p in found.calibration.points)
    assert "rounded" in found.calibration.method
    assert all(p.y == pytest.approx(round(p.y / 0.1) * 0.1) or round(p.y, 3) == p.y for p in found.calibration.points)


def test_a_small_group_shows_nothing() -> None:
    group, answers = draw(400, seed=7)
    group[:] = "a"
    group[:20] = "b"
    found = audited(group, answers)
    assert "fewer than 30" in estimate(found, "auc", "b").withheld
    assert series(found, "b").calibration.points == () and "fewer than 30" in series(found, "b").withheld
    assert estimate(found, "auc_difference", "b").value is None


def test_scores_off_the_scale_have_no_calibration() -> None:
    group, answers = draw(600, seed=8)
    assert answers.score is not None
    found = audited(group, replace(answers, score=10 * answers.score))
    assert not [m for m in found.measurements if m.measure in ("fairness.brier", "fairness.calibration_error")]
    assert "0 to 1" in series(found, "a").withheld
    assert estimate(found, "auc", "a").known


def test_every_score_measure_may_be_judged() -> None:
    found = audited(*draw(400, seed=9))
    assert {m.measure for m in found.measurements if "ratio" not in m.measure} <= set(MEASURES)
