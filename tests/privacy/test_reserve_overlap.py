"""A reserve that holds training records is refused at every door; honest divisions, repeated rows and all, are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

import auditkit
from auditkit.errors import DataError
from auditkit.preflight import check
from auditkit.privacy.reserve_overlap import find_overlap
from tests.privacy.reserve_worlds import WORLDS, World, made, table_of

Disguise = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
NUMBERS = [f"x{k}" for k in range(5)]


def _moved(share: float) -> Disguise:
    """Noise of a share of each number column's deviation."""

    def disguise(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        moved = frame.copy()
        moved[NUMBERS] += share * rng.normal(size=(len(frame), len(NUMBERS)))
        return moved

    return disguise


def _one_column(name: str) -> Disguise:
    """One column dealt anew."""
    return lambda frame, rng: frame.assign(**{name: rng.permutation(frame[name].to_numpy())})


DISGUISES: dict[str, Disguise] = {
    "none": lambda frame, rng: frame.copy(),
    "another order": lambda frame, rng: frame.sample(frac=1.0, random_state=1),
    "noise of a billionth": _moved(1e-9),
    "noise of a millionth": _moved(1e-6),
    "noise of a thousandth": _moved(1e-3),
    "noise of a hundredth": _moved(1e-2),
    "a number column dealt anew": _one_column("x2"),
    "a text column dealt anew": _one_column("group"),
    "labels turned round": lambda frame, rng: frame.assign(y=1 - frame["y"]),
    "numbers as text": lambda frame, rng: frame.assign(**{name: frame[name].map(repr) for name in NUMBERS}),
    "single precision": lambda frame, rng: frame.astype(dict.fromkeys(NUMBERS, "float32")),
    "nullable and category types": lambda frame, rng: frame.astype(
        dict.fromkeys(NUMBERS, "Float64") | {"group": "category"}
    ),
    "two decimals": lambda frame, rng: frame.round(2),
    "capitals and blanks": lambda frame, rng: frame.assign(group=" " + frame["group"].str.upper()),
}


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("name", list(DISGUISES))
def test_training_records_in_the_reserve_are_found_under_every_disguise(name: str, share: float) -> None:
    world, rng = made(), np.random.default_rng(1)
    train, others = world.divided(500, 500, rng)
    copied = DISGUISES[name](train.sample(n=int(500 * share), random_state=0), rng)
    found = find_overlap(table_of(train, pd.concat([copied, others.iloc[len(copied) :]])), world.features)
    assert found is not None
    assert 0.9 * len(copied) <= found.count <= 1.1 * len(copied) + 10
    assert found.usual < 0.05


@pytest.mark.parametrize(("first", "second", "copies"), [(400, 400, 20), (2000, 500, 25), (300, 2000, 30)])
def test_one_copy_among_twenty_rows_is_enough(first: int, second: int, copies: int) -> None:
    train, others = made().divided(first, second, np.random.default_rng(2))
    reserve = pd.concat([train.iloc[:copies], others.iloc[copies:]])
    found = find_overlap(table_of(train, reserve), [*NUMBERS, "group"])
    assert found is not None and found.count == copies


@pytest.mark.parametrize("name", list(WORLDS))
def test_honest_divisions_are_not_refused_and_copies_among_repeated_rows_are(name: str) -> None:
    world = WORLDS[name]()
    size = min(len(world.frame) // 2, 800)
    for seed in range(3):
        train, reserve = world.divided(size, size if seed else size // 3, np.random.default_rng(seed))
        assert find_overlap(table_of(train, reserve), world.features) is None
    half = pd.concat([train.iloc[: size // 2], reserve.iloc[size // 2 :]])
    for copied in (train, half):
        found = find_overlap(table_of(train, copied), world.features)
        assert found is not None and found.count >= 0.9 * size / 2


@pytest.mark.prove
@pytest.mark.slow
def test_no_honest_division_of_many_is_refused(record_property: Callable[[str, Any], None]) -> None:
    refused: dict[str, str] = {}
    for name, make in WORLDS.items():
        world = make()
        size, repeats = min(len(world.frame) // 2, 1500), 40 if len(world.features) < 60 else 10
        found = 0
        for seed in range(repeats):
            train, reserve = world.divided(size, size if seed % 2 else size // 3, np.random.default_rng(1000 + seed))
            found += find_overlap(table_of(train, reserve), world.features) is not None
        refused[name] = f"{found} of {repeats}"
    record_property("overlap: honest divisions refused", refused)
    assert all(said.startswith("0 ") for said in refused.values())


def test_repeated_rows_in_training_and_persons_with_many_records_are_no_copies() -> None:
    train, reserve = made().divided(400, 400, np.random.default_rng(4))
    doubled = pd.concat([train, train, train.iloc[:100]])
    assert find_overlap(table_of(doubled, reserve), NUMBERS) is None
    # Ten equal records of each person, all on one side, and a column so coarse that persons agree.
    rng = np.random.default_rng(5)
    persons = np.repeat(np.arange(80), 10).astype(str).astype(object)
    frame = pd.DataFrame({"x": np.repeat(rng.integers(0, 30, 80), 10), "z": 1.0, "y": 1})
    assert find_overlap(table_of(frame[:400], frame[400:], persons=persons), ["x", "z"]) is None


def _audited(train: pd.DataFrame, reserve: pd.DataFrame, **more: Any) -> Any:
    evaluation = made().divided(3000, 300, np.random.default_rng(9))[1]
    evaluation = evaluation.assign(key=[f"E{k}" for k in range(len(evaluation))])
    return auditkit.audit(
        DecisionTreeClassifier(random_state=0).fit(train[NUMBERS], train["y"]), train=train, reserve=reserve,
        evaluation=evaluation, label="y", protected=["group"], **more,
    )  # fmt: skip


def _keyed(world: World, prefixes: tuple[str, str]) -> list[pd.DataFrame]:
    parts = world.divided(300, 300, np.random.default_rng(6))
    return [
        part.assign(key=[f"{prefix}{k}" for k in range(300)]) for part, prefix in zip(parts, prefixes, strict=True)
    ]


@pytest.mark.parametrize(("key", "said"), [("id", "bear the id"), ("person", "two splits")])
def test_ids_and_persons_on_both_sides_are_refused_though_every_value_differs(key: str, said: str) -> None:
    train, reserve = _keyed(made(), ("A", "A"))
    with pytest.raises(DataError, match=said):
        _audited(train, reserve, **{key: "key"})


def test_the_notebook_door_names_both_frames_the_count_and_what_to_do() -> None:
    train, _ = made().divided(300, 10, np.random.default_rng(7))
    with pytest.raises(DataError) as caught:
        _audited(train.assign(key="T"), train.sample(frac=1.0, random_state=0).assign(key="R"))
    said = str(caught.value)
    assert "300 of the 300 records of reserve frame (100.0%)" in said and "train frame" in said
    assert "take the training records out of it" in said


POLICY = """
auditkit: 1
name: Copies in the reserve
data:
  train: train.csv
  reserve: held.csv
  evaluation: evaluation.csv
  label: {column: y, favourable: 1, means: outcome}
  id: key
  person: who
  person-in-two-splits: allow
  numeric: [x0, x1, x2, x3, x4]
model: {adapter: predictions, decision: "x0 > 0"}
protected:
  group: {column: group}
rules:
  - {id: M1, measure: model.accuracy, op: ">=", threshold: 0.5, severity: low, because: A test}
"""


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (("key", "who"), ["have a record of train.csv with the same values in every column"]),
        (("who",), ["bear the id of a record of train.csv"]),
        (("key",), ["bear the person of a record of train.csv"]),
        ((), ["bear the id", "bear the person"]),
    ],
)
def test_check_finds_it_before_any_heavy_work(tmp_path: Path, rename: tuple[str, ...], said: list[str]) -> None:
    train, evaluation = made().divided(200, 200, np.random.default_rng(8))
    train = train.assign(key=[f"T{k}" for k in range(200)], who=[f"P{k}" for k in range(200)])
    evaluation = evaluation.assign(key=[f"E{k}" for k in range(200)], who=[f"Q{k}" for k in range(200)])
    train.to_csv(tmp_path / "train.csv", index=False)
    train.assign(**{name: "R" + train[name] for name in rename}).to_csv(tmp_path / "held.csv", index=False)
    evaluation.to_csv(tmp_path / "evaluation.csv", index=False)
    path = tmp_path / "copies.yaml"
    path.write_text(POLICY, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        check(path)
    for words in said:
        assert words in str(caught.value)
    assert "copies.yaml:6" in str(caught.value) and "200 of the 200 records of held.csv" in str(caught.value)


def test_jittered_copies_among_many_rows_are_found() -> None:
    """So many rows that only a few can look for their nearest."""
    rng = np.random.default_rng(10)
    frame = pd.DataFrame(rng.normal(size=(60_000, 8))).add_prefix("x").assign(y=rng.integers(0, 2, 60_000))
    train, reserve = frame[:30_000], frame[30_000:]
    features = [f"x{k}" for k in range(8)]
    assert find_overlap(table_of(train, reserve), features) is None
    copied = pd.concat([train[:600] + 1e-3 * rng.normal(size=(600, 9)), reserve[600:]]).assign(
        y=lambda found: found["y"].round()
    )
    found = find_overlap(table_of(train, copied), features)
    assert found is not None and 400 <= found.count <= 800
