"""The policy's `outcomes:` section: what it reads, and every slip with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.load import load

BASE = """auditkit: 1
name: Outcomes
data: {evaluation: e.csv, label: {column: y, favourable: 1, means: outcome}}
model: {adapter: predictions, decision: d}
rules: []
outcomes:
"""


def loaded(tmp_path: Path, *lines: str) -> dict[str, object]:
    path = tmp_path / "p.yaml"
    path.write_text(BASE + "".join(f"  {line}\n" for line in lines), encoding="utf-8")
    return dict(load(path).policy.outcomes)


def complaint(tmp_path: Path, *lines: str) -> str:
    with pytest.raises(PolicyError) as caught:
        loaded(tmp_path, *lines)
    return str(caught.value)


def test_every_kind_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "band: {kind: classes, truth: t, prediction: p, classes: [1, b, true]}",
        "cost: {kind: number, truth: c, prediction: g}",
        "queue: {kind: ranking, prediction: s, top: [10, 0.2], within: day}",
    )
    assert found["band"].classes == (1, "b", True)
    assert found["cost"].quantiles == (0.1, 0.5, 0.9)
    assert (found["queue"].top, found["queue"].truth) == ((10, 0.2), None)
    assert found["queue"].columns == {"prediction": "s", "within": "day"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("o: {kind: number, prediction: p}", "the outcome 'o' of the kind 'number' needs 'truth'"),
        ("o: {kind: number, truth: t, prediction: p, top: [3]}",
         "an outcome of the kind 'number' does not read 'top'; remove it (read by ranking)"),
        ("o: {kind: classes, truth: t, prediction: p, within: q}", "does not read 'within'"),
        ("o: {kind: classes, truth: t, prediction: p, classes: [a]}", "'classes' names one class"),
        ("o: {kind: ranking, prediction: p, top: [2.5]}", "is 2.5, neither a share nor a number of places"),
        ("o: {kind: ranking, prediction: p, top: [0]}", "above 0"),
        ("o: {kind: ranking, prediction: p, top: [3, 3]}", "entry 2 of 'top' stands twice"),
        ("o: {kind: number, truth: t, prediction: p, quantiles: [1]}", "below 1"),
        ("o: {kind: numbers, truth: t, prediction: p}", "'classes', 'number' or 'ranking'"),
        ("o: {kind: number, truth: t, predicted: p}", "unknown key 'predicted'"),
    ],
)
def test_a_slip_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    text = complaint(tmp_path, line)
    assert said in text
    assert "p.yaml:7:" in text


def test_a_depth_of_one_is_the_first_place(tmp_path: Path) -> None:
    assert loaded(tmp_path, "o: {kind: ranking, prediction: p, top: [1]}")["o"].top == (1,)
