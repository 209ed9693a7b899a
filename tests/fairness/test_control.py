"""Control columns: Simpson's reversal, what is withheld, and where the strata are from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError
from auditkit.fairness.assess import assess
from auditkit.fairness.control import controls
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Conditional
from auditkit.subject.types import Grouping
from tests.fairness.evaluations import grouping, predictions
from tests.stats.test_stratified import MEN, WOMEN

Table = Mapping[tuple[str, str], tuple[int, int]]
"""(group, stratum) -> selected, not selected."""
BERKELEY: Table = {
    (name, letter): (int(yes), int(no))
    for name, counts in (("men", MEN), ("women", WOMEN))
    for letter, (yes, no) in zip("ABCDEF", counts, strict=True)
}
REVERSED: Table = {
    ("own", "easy"): (190, 10), ("own", "hard"): (300, 700), ("ref", "easy"): (850, 150), ("ref", "hard"): (40, 160),
}  # fmt: skip


def found(table: Table, *, reference: str, persons: bool = False, minimum_cell: int = 2) -> Conditional:
    group, stratum, decision = [], [], []
    for (name, letter), counts in table.items():
        for chosen, n in zip((1.0, 0.0), counts, strict=True):
            group += [name] * n
            stratum += [letter] * n
            decision += [chosen] * n
    own = grouping("sex", group, labels=sorted(set(group)), reference=reference)
    truth = list(np.resize([0.0, 1.0, 1.0, 0.0], len(group)))
    strata = controls(["dept"], frame=pd.DataFrame({"dept": stratum}), groupings={})
    part = assess(
        groupings={"sex": own},
        predictions=predictions(truth=truth, decision=decision),
        persons=np.array(np.arange(len(group)) // 2, dtype=object) if persons else None,
        settings=FairnessSettings(replicates=1_000),
        minimum_cell=minimum_cell,
        generator=np.random.default_rng(0),
        controls=strata,
    )
    (row,) = part.conditional
    return row


def test_berkeley_vanishes_within_departments() -> None:
    row = found(BERKELEY, reference="men")
    assert row.pattern == "vanishes"
    assert "no difference is shown" in row.words
    assert row.crude.value == pytest.approx(557 / 1835 - 1198 / 2691)
    assert row.odds_ratio.value == pytest.approx(1 / 0.9046968, rel=1e-6)
    assert (row.strata_used, row.unknown) == (6, 0)
    third = row.strata[2]
    assert (third.stratum, third.group_rate.value) == ("C", pytest.approx(202 / 593))
    assert row.heterogeneity_p is not None and row.heterogeneity_p < 0.01


def test_a_reversal_is_pointed_out_in_words() -> None:
    row = found(REVERSED, reference="ref")
    assert row.pattern == "reverses"
    assert row.words == (
        "The association reverses (Simpson's reversal): own is selected less often than ref over all records, and more "
        "often within strata of dept."
    )
    assert row.crude.high is not None and row.adjusted.low is not None
    assert row.crude.high < 0 < row.adjusted.low


@pytest.mark.parametrize(
    ("table", "pattern"),
    [
        ({("o", "a"): (100, 300), ("o", "b"): (90, 310), ("r", "a"): (200, 200), ("r", "b"): (190, 210)}, "holds"),
        ({("o", "a"): (100, 300), ("o", "b"): (90, 310), ("r", "a"): (104, 296), ("r", "b"): (95, 305)}, "not-shown"),
        ({("o", "a"): (240, 60), ("o", "b"): (40, 660), ("r", "a"): (180, 120), ("r", "b"): (0, 100)}, "holds"),
    ],
)
def test_the_other_patterns(table: Table, pattern: str) -> None:
    row = found(table, reference="r")
    assert row.pattern == pattern or (pattern == "holds" and row.pattern in ("appears", "reverses"))


def test_small_strata_are_not_shown_exactly_and_do_not_follow_from_the_whole() -> None:
    row = found({**REVERSED, ("own", "rare"): (3, 2)}, reference="ref", minimum_cell=10)
    by = {stratum.stratum: stratum.group_rate for stratum in row.strata}
    assert by["rare"].value is None
    exact = [name for name, rate in by.items() if rate.value is not None and not rate.step]
    assert len(exact) <= 1, "two exact rates and the group's total would give the third"
    assert row.strata_used == 2


def test_persons_who_repeat_themselves_are_counted_by_person() -> None:
    alone, paired = (found(REVERSED, reference="ref", persons=persons) for persons in (False, True))
    assert paired.pattern == "reverses" and "Simpson" in paired.words
    for name in ("crude", "adjusted", "odds_ratio"):
        one, two = getattr(alone, name), getattr(paired, name)
        assert two.value == pytest.approx(one.value)
        assert two.high - two.low == pytest.approx((one.high - one.low) * 2**0.5, rel=0.1)
    assert "leaving out one person at a time" in paired.adjusted.method and "design effects" in paired.crude.method
    assert paired.cmh_p is not None and alone.cmh_p is not None and paired.cmh_p > alone.cmh_p
    assert paired.heterogeneity_p is None and alone.heterogeneity_p is not None


def test_where_strata_are_from() -> None:
    frame = pd.DataFrame({"dept": ["a", None, "b"], "many": ["x", "y", "z"], "year": [1.0, 2.0, 1.0]})
    own = Grouping("sex", ("m",), np.zeros(3, dtype=np.int64), "m", True)
    strata = controls(["dept", "sex", "year"], frame=frame, groupings={"sex": own})
    assert strata["dept"].labels == ("a", "b") and strata["dept"].codes.tolist() == [0, -1, 1]
    assert strata["year"].labels == ("1", "2")
    assert strata["sex"] is own
    with pytest.raises(DataError, match="neither a protected attribute nor a column"):
        controls(["nothing"], frame=frame, groupings={})
    wide = pd.DataFrame({"n": np.arange(40)})
    with pytest.raises(DataError, match="40 values"):
        controls(["n"], frame=wide, groupings={})
