from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.privacy.assess import Given, assess
from auditkit.result import PrivacyPart


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([3, 9, 10, 25, 60, 250, 400]),
    k=st.sampled_from([1, 7, 15, 24, 300, 2500]),
    m=st.sampled_from([5, 10, 80]),
    planted=st.sampled_from([0, 4, 12, 60, 120]),
    fit=st.sampled_from([0.01, 0.6, 1.0, 3.0]),
    rows=st.sampled_from([0, 1, 3]),
)
def test_no_count_below_the_minimum_cell_is_ever_published(  # noqa: PLR0917
    seed: int, n: int, k: int, m: int, planted: int, fit: float, rows: int, make_world: Callable[..., dict[str, Any]]
) -> None:
    world = make_world(seed, n=n, k=k, m=m, fit=fit, planted=min(planted, n // 3))
    if rows:
        world["persons"] = {
            name: np.array([f"{name}{i // rows}" for i in range(len(frame))], dtype=object)
            for name, frame in world["features"].items()
        }
    part, _ = assess(Given(**world))
    document = part.model_dump(mode="json")
    for path, value in _leaves(document):
        if isinstance(value, int) and not isinstance(value, bool):
            assert not 1 <= value <= 9, (path, value)
    for estimate in _estimates(document):
        if estimate["events"] is not None:
            _large(estimate["value"] * estimate["n"])
            _large((1 - estimate["value"]) * estimate["n"])
    for row in part.resolution:
        assert row.expected_false_positives / row.false_positive_rate >= 10 - 1e-6
    assert part.screen is not None
    for row in part.screen.by:
        _large(row.base_share * n)
    tail = part.screen.tail.points if part.screen.tail else ()
    for one, other in pairwise([n, *(point.y * n for point in tail), 0.0] if tail else []):
        _large(one - other)
    _no_subtraction(part, n)
    _no_margin_subtraction(part)


def _no_subtraction(part: PrivacyPart, n: int) -> None:
    """What the groups shown leave of the total flagged is nobody or at least ten."""
    assert part.screen is not None
    if part.screen.flagged is None or part.screen.flagged.events is None:
        assert all(row.estimate.value is None for row in part.screen.by_group)
        return
    for attribute in ("sex", "age", "sex x age"):
        shown = [row.estimate for row in part.screen.by_group if row.on == attribute and row.estimate.known]
        if shown:
            _large(n - sum(one.n or 0 for one in shown))
            _large(part.screen.flagged.events - sum(one.events or 0 for one in shown))


def _no_margin_subtraction(part: PrivacyPart) -> None:
    """What the intersection's groups shown leave of a margin shown is nobody or at least ten."""
    assert part.screen is not None
    shown = {(row.on, row.group): row.estimate for row in part.screen.by_group if row.estimate.known}
    for attribute, labels in (("sex", ["female", "male"]), ("age", ["18-39", "40-61", "62+"])):
        for code, label in enumerate(labels):
            part_label = ("fm" if attribute == "sex" else "abc")[code]
            inside = [
                one for (on, group), one in shown.items() if on == "sex x age" and part_label in group.split(" · ")
            ]
            if inside and (attribute, label) in shown:
                margin = shown[attribute, label]
                _large((margin.n or 0) - sum(one.n or 0 for one in inside))
                _large((margin.events or 0) - sum(one.events or 0 for one in inside))


def _large(count: float) -> None:
    assert abs(count) < 1e-6 or count >= 10 - 1e-6, count


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _leaves(value, f"{path}[{at}]")
    else:
        yield path, node


def _estimates(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "withheld" in node and "events" in node:
            yield node
        for value in node.values():
            yield from _estimates(value)
    elif isinstance(node, list):
        for value in node:
            yield from _estimates(value)
