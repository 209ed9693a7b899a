"""Who is marked as exposed: nobody where nothing leaks, the planted where they do, and no few of them in public."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy.attacks import lira_offline
from auditkit.privacy.exposure import Exposed, exposure, measurements
from auditkit.privacy.membership import Evidence, Retrained, Scores
from auditkit.subject.types import Floats, Grouping


def world(
    rng: np.random.Generator, *, members: int, nonmembers: int, planted: int = 0, models: int = 32, leaks: bool = True
) -> tuple[Retrained, Scores]:
    """Margins by record; learning a planted record adds six deviations to its margin, any other nothing.

    With `leaks` off the retrained models give the planted away and the audited one does not.
    """
    total = members + nonmembers
    gain, centre = np.zeros(total), rng.normal(1, 1, total)
    gain[:planted] = 3.0
    inside = rng.random((models, total)) < 0.5
    margin = centre + gain * inside + 0.5 * rng.normal(size=inside.shape)
    audited = centre + gain * (np.arange(total) < members) * leaks + 0.5 * rng.normal(size=total)
    loss: Floats = np.logaddexp(0.0, -audited)
    known = Retrained(margin, inside)
    return known, lira_offline.score(Evidence(loss[:members], loss[members:], known))


def assessed(known: Retrained, scores: Scores, *, minimum: int = 10, sex: Floats | None = None) -> Exposed:
    n = len(scores.members)
    codes = np.arange(n) % 2 if sex is None else sex.astype(np.int64)
    return exposure(
        known, scores, absent="", labels=np.ones(n), groupings={"sex": Grouping("sex", ("f", "m"), codes, "m", True)},
        persons=None, settings=PrivacySettings(), generator=np.random.default_rng(0), level=0.95, minimum=minimum,
    )  # fmt: skip


def test_an_exchangeable_world_marks_nobody() -> None:
    rng = np.random.default_rng(0)
    marked = 0
    for _ in range(60):
        found = assessed(*world(rng, members=300, nonmembers=400))
        assert found.marks is not None
        marked += int(found.marks.flag.any())
    assert marked <= 6


@pytest.mark.prove
@pytest.mark.slow
def test_two_hundred_exchangeable_worlds_mark_hardly_anybody(record_property: Callable[[str, Any], None]) -> None:
    """Share of repeats with any mark at all: at most the level and the binomial band."""
    rng = np.random.default_rng(20261123)
    marked = 0
    for _ in range(200):
        found = assessed(*world(rng, members=300, nonmembers=400))
        assert found.marks is not None
        marked += bool(found.marks.flag.any())
    record_property("exchangeable world: share of 200 repeats with any mark", marked / 200)
    assert marked <= stats.binom.isf(0.025, 200, 0.10)


def test_planted_records_are_marked_and_hardly_any_other() -> None:
    found = assessed(*world(np.random.default_rng(1), members=1000, nonmembers=1500, planted=60))
    assert found.marks is not None and found.risk is not None
    assert found.marks.flag[:60].mean() > 0.8
    assert found.marks.flag[60:].sum() <= 2
    assert set(np.argsort(-found.risk.value)[:60]) == set(range(60))
    assert found.public.flagged is not None and found.public.flagged.value is not None
    assert found.public.flagged.value == found.marks.flag.mean()
    top = found.public.bands[-1]
    assert (top.low, top.high) == (0.9, 1.0) and top.share.events == 60
    assert sum(band.share.events or 0 for band in found.public.bands) == 1000


def test_a_recipe_that_leaks_marks_nobody_in_a_model_that_did_not() -> None:
    """Risk alone would accuse all the planted; the audited model's own p-values do not."""
    found = assessed(*world(np.random.default_rng(2), members=1000, nonmembers=1500, planted=60, leaks=False))
    assert found.marks is not None and found.risk is not None
    assert (found.risk.low[:60] > 0.75).all()
    assert not found.marks.flag.any()


def test_without_retrained_models_the_reason_stands_in_every_row() -> None:
    found = exposure(
        None, None, absent="no reserve", labels=np.ones(5), groupings={}, persons=None, settings=PrivacySettings(),
        generator=np.random.default_rng(0), level=0.95, minimum=10,
    )  # fmt: skip
    assert found.public.status == "not-applicable" and found.public.reason == "no reserve"
    assert {m.measure: m.estimate.withheld for m in measurements(found)} == {
        "privacy.average_risk": "no reserve", "privacy.exposed_share": "no reserve",
    }  # fmt: skip


@pytest.mark.parametrize("planted", range(0, 40, 3))
def test_no_band_and_no_share_tells_of_a_few(planted: int) -> None:
    known, scores = world(np.random.default_rng(planted), members=500, nonmembers=700, planted=planted)
    found = assessed(known, scores, sex=np.arange(500) < 5)
    assert found.marks is not None and found.risk is not None
    counts = [band.share.events for band in found.public.bands]
    assert all(count is None or count == 0 or count >= 10 for count in counts)
    for band in found.public.bands:
        above = found.risk.value >= band.low
        for one, other in ((above, found.marks.flag), (found.marks.flag, above)):
            assert not 0 < (one & ~other).sum() < 10
    for row in measurements(found):
        events, n = row.estimate.events, row.estimate.n
        assert events is None or n is None or all(c == 0 or c >= 10 for c in (events, n - events))
    said = json.dumps(found.public.model_dump())
    assert not any(repr(float(value)) in said for value in found.risk.value if 0.5 < value < 1)


def test_what_the_p_values_can_resolve_is_said() -> None:
    found = assessed(*world(np.random.default_rng(3), members=1000, nonmembers=499)).public
    assert found.p_steps == 500
