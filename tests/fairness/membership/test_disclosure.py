"""No published figure of overlapping groups tells of a few persons, by itself or together with the others."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import null_space

from auditkit.fairness.membership.door import measure_membership
from auditkit.fairness.membership.standing import standing
from auditkit.fairness.membership.sums import Rows
from auditkit.policy.load import from_mapping
from auditkit.policy.schema import FairnessSettings
from auditkit.result import MembershipGroup, MembershipPart
from auditkit.subject.memberships import memberships_of
from auditkit.subject.types import Predictions, Table

MINIMUM = 10


def group(part: MembershipPart, name: str) -> MembershipGroup:
    return next(row for row in part.groups if row.group == name)


def measured(counts: dict[tuple[int, ...], int], *, reference: str | None = None, unknown: int = 0) -> MembershipPart:
    """Records with these patterns of membership, decisions spread evenly over labels."""
    member = np.repeat(np.array(list(counts)), list(counts.values()), axis=0).astype(float)
    member = np.vstack([member, np.full((unknown, member.shape[1]), np.nan)])
    at = np.arange(len(member))
    groups = {name: member[:, k] for k, name in enumerate("abcd"[: member.shape[1]])}
    truth, decision = (at % 2).astype(float), (at // 2 % 2).astype(float)
    return measure_membership(truth, decision, groups=groups, kind="several", reference=reference)


def test_the_few_in_both_of_two_groups_do_not_follow_from_their_sizes() -> None:
    plain = measured({(1, 0): 300, (0, 1): 200, (1, 1): 60})
    assert (group(plain, "a").n, group(plain, "b").n, group(plain, "several groups").n) == (360, 260, 60)
    few = measured({(1, 0): 300, (0, 1): 200, (1, 1): 4})
    told = {row.group: row.n for row in few.groups}
    assert told["several groups"] is None
    # 304 + 204 - 504 = 4, so one of the two sizes has to go as well.
    assert None in (told["a"], told["b"])
    rates = [m.estimate for m in few.measurements if m.measure == "fairness.selection_rate"]
    assert any(rate.step > 0 and rate.events is None for rate in rates)


def test_few_unknown_records_do_not_follow_from_groups_that_are_all_else() -> None:
    part = measured({(1, 0): 300, (0, 1): 200}, unknown=3)
    assert group(part, "unknown").n is None
    assert group(part, "unknown").share == pytest.approx(10 / 503)
    assert None in (group(part, "a").n, group(part, "b").n)
    others = measured({(1, 0): 300, (0, 1): 200, (0, 0): 50}, unknown=3, reference="others")
    apart = [m.estimate for m in others.measurements if m.reference]
    # Group and everybody outside it are all known records, and so tell how many are not.
    assert all(estimate.n is None and estimate.step > 0 for estimate in apart if estimate.value is not None)


def test_a_group_of_few_and_one_that_nearly_everybody_has_tell_nothing_exact() -> None:
    part = measured({(1, 0): 400, (1, 1): 200, (0, 1): 6, (0, 0): 40})
    assert group(part, "b").n is None or group(part, "several groups").n is None or group(part, "a").n is None
    small = measured({(1, 0): 400, (0, 1): 8})
    assert (group(small, "b").n, group(small, "b").status) == (None, "insufficient-evidence")
    assert all(m.estimate.value is None for m in small.measurements if m.group == "b")


def _published(rows: Rows, groups: int, *, cells: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns, code of each record, and the indicators over patterns of what is published exactly."""
    state = standing(rows, groups, minimum_group=30, minimum=MINIMUM)
    signs = np.column_stack([rows.share[:, :groups], ~rows.known])
    patterns, code = np.unique(signs, axis=0, return_inverse=True)
    many = patterns[:, :groups].sum(axis=1)
    told = [np.ones(len(patterns))]
    if cells:
        told += [patterns[:, g] for g in range(groups) if not state.closed[g]]
        return patterns, code.ravel(), np.array(told)
    told += [patterns[:, g] for g in range(groups) if not state.hidden[g]]
    told += [many > 1] * state.several + [(many == 0) & (patterns[:, groups] == 0)] * state.none
    unknown = int((~rows.known).sum())
    told += [patterns[:, groups]] * (unknown == 0 or unknown >= MINIMUM)
    return patterns, code.ravel(), np.array(told, dtype=float)


@pytest.mark.parametrize("seed", range(40))
def test_no_small_set_is_determined_by_what_is_published(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, size = int(rng.integers(2, 5)), int(rng.integers(120, 900))
    member = (rng.random((size, groups)) < rng.uniform(0.02, 0.9, groups)).astype(float)
    known = rng.random(size) > rng.choice([0.0, 0.004, 0.05])
    rows = Rows(
        share=np.where(known[:, None], member, 0.0),
        known=known,
        cell=(2 * (rng.random(size) < 0.5) + (rng.random(size) < 0.4)).astype(np.int64),
        persons=np.arange(size),
        weights=None,
        soft=False,
    )
    for cells in (False, True):
        patterns, code, told = _published(rows, groups, cells=cells)
        free = null_space(told)
        column = patterns.astype(bool)
        sets = [np.eye(len(patterns), dtype=bool)[k] for k in range(len(patterns))]
        sets += [column[:, a] & column[:, b] for a, b in combinations(range(groups), 2)]
        sets += [column[:, a] & ~column[:, b] for a in range(groups) for b in range(groups) if a != b]
        sets += [~column[:, g] for g in range(groups)] + [column[:, g] for g in range(groups)]
        for chosen in sets:
            if not chosen.any() or np.abs(chosen @ free).max(initial=0.0) > 1e-9:
                continue  # some other table has the same published figures and another number here
            inside = chosen[code]
            if cells and not (chosen & ~column[:, groups]).any():
                assert inside.sum() == 0 or inside.sum() >= MINIMUM
                continue
            counts = np.bincount(rows.cell[inside], minlength=4) if cells else np.array([inside.sum()])
            assert counts.min() >= MINIMUM or (not cells and counts.sum() == 0), (chosen, counts)


def test_probabilities_print_at_most_four_decimals_and_few_expected_members_are_withheld() -> None:
    rng = np.random.default_rng(5)
    p = np.column_stack([rng.beta(1, 300, 1200), rng.uniform(0.2, 0.5, 1200)])
    truth, decision = rng.integers(0, 2, (2, 1200)).astype(float)
    part = measure_membership(truth, decision, groups={"a": p[:, 0], "b": p[:, 1]}, kind="probabilities")
    assert p[:, 0].sum() < MINIMUM
    assert (group(part, "a").expected, group(part, "a").status) == (None, "insufficient-evidence")
    for row in part.measurements:
        found = row.estimate
        assert row.group == "b" or found.value is None
        for number in (found.value, found.low, found.high):
            assert number is None or number == round(number, 4)
    assert all(row.region.low is None for row in part.bounds if row.group == "a")


def test_unknown_is_counted_and_an_empty_group_is_named() -> None:
    part = measured({(1, 0, 0): 200, (0, 1, 0): 200}, unknown=40)
    assert (group(part, "unknown").n, group(part, "c").status) == (40, "empty")
    assert "no records of this group" in group(part, "c").reason
    much = FairnessSettings(maximum_unknown=0.05)
    member = np.concatenate([np.ones(200), np.zeros(200), np.full(40, np.nan)])
    truth = np.arange(440) % 2.0
    noted = measure_membership(truth, truth, groups={"a": member}, kind="several", reference="others", settings=much)
    assert "above the policy's maximum share" in group(noted, "unknown").reason


def test_the_guard_of_later_releases_hears_of_every_group_and_of_what_its_members_got() -> None:
    frame = pd.DataFrame({"x": [1, 1, 0, 0, 1], "y": [0, 1, 1, 0, None]})
    rules = {"traits": {"columns": {"a": "x", "b": "y"}}}
    policy = from_mapping({
        "auditkit": 1, "name": "M", "rules": [], "memberships": rules,
        "data": {"evaluation": "d.csv", "label": {"column": "t", "favourable": 1, "means": "outcome"}},
        "model": {"adapter": "predictions", "decision": "d"},
    })  # fmt: skip
    truth, decision = np.array([1, 0, 1, 1, 1.0]), np.array([1, 0, 0, np.nan, 1.0])
    table = Table(
        frame=frame, split=np.full(5, "evaluation"), ids=np.arange(5).astype(object), persons=None, label=truth,
        weights=np.ones(5), groupings={}, digests={},
    )  # fmt: skip
    answers = Predictions(decision=decision, score=None, truth=truth, loss=None, loss_train=None, loss_reserve=None)
    sets = {piece.name: piece.mask.tolist() for piece in memberships_of(policy, table, answers)}
    # The last record is in no set: one of its columns says neither yes nor no.
    assert sets["traits: a"] == [True, True, False, False, False]
    assert sets["traits: a, label 1 decision 1"] == [True, False, False, False, False]
    assert sets["traits: b, label 0 decision 0"] == [False, True, False, False, False]
    assert sets["traits: b, label 1 decision 0"] == [False, False, True, False, False]
    assert len(sets) == 10


def test_events_that_weigh_nothing_give_no_ratio() -> None:
    at = np.arange(400)
    decision = (at % 4 == 0).astype(float)
    weights = np.where((decision == 1) & (at < 200), 0.0, 1.0)
    part = measure_membership(
        at % 2.0, decision, groups={"a": at < 200, "b": at >= 200}, kind="several", reference="b", weights=weights
    )
    row = next(m.estimate for m in part.measurements if m.measure == "fairness.impact_ratio")
    assert (row.value, row.low) == (0.0, None)
    assert "interval refused" in row.withheld
