"""Every door, every kind of column: one group has one name, one n and one rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn.linear_model import LogisticRegression

from auditkit import audit
from auditkit.errors import DataError
from auditkit.fairness import (
    compare,
    comparison_table,
    measure,
    measure_membership,
    measure_outcome,
    measure_table,
    outcome_table,
    table,
)
from auditkit.fairness.control import controls
from auditkit.fairness.importers.metric_frame import from_metric_frame
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart
from tests.subject.conftest import Lender

N = 240
RNG = np.random.default_rng(5)
PLACE = RNG.integers(0, 3, N)
TRUTH = RNG.integers(0, 2, N)
DECISION = (RNG.random(N) < 0.2 + 0.25 * PLACE).astype(int)
TWO = {"a": DECISION, "b": 1 - DECISION}
ABSENT = np.arange(N) % 12 == 0
EXACT: dict[str, Any] = {"settings": FairnessSettings(replicates=1000, minimum_group=10), "minimum_cell": 1}

Told = Mapping[str, tuple[int, float]]
"""Group -> records and selection rate."""


@dataclass(frozen=True)
class Kind:
    """How the three groups are written in a column, and what they are called."""

    column: Callable[[], Any]
    names: tuple[str, str, str]


def _listed(values: list[Any], missing: Any = None) -> list[Any]:
    return [missing if gone else values[at] for at, gone in zip(PLACE.tolist(), ABSENT.tolist(), strict=True)]


def _binned() -> pd.Series:
    return pd.Series(pd.cut(_listed([20, 40, 70], np.nan), [0, 30, 60, 90]))


KINDS: dict[str, Kind] = {
    "texts with None": Kind(lambda: _listed(["f", "m", "x"]), ("f", "m", "x")),
    "texts with NaN": Kind(lambda: _listed(["f", "m", "x"], float("nan")), ("f", "m", "x")),
    "numpy's texts of NaN": Kind(lambda: np.array(_listed(["f", "m", "x"], float("nan"))), ("f", "m", "x")),
    "pandas' texts of NaN": Kind(lambda: pd.Series(_listed(["f", "m", "x"], np.nan)).astype(str), ("f", "m", "x")),
    "string dtype": Kind(lambda: pd.Series(_listed(["f", "m", "x"], pd.NA), dtype="string"), ("f", "m", "x")),
    "category": Kind(lambda: pd.Series(pd.Categorical(_listed(["f", "m", "x"]))), ("f", "m", "x")),
    "category of numbers": Kind(lambda: pd.Series(pd.Categorical(_listed([1, 2, 3]))), ("1", "2", "3")),
    "numbers with NaN": Kind(lambda: np.array(_listed([1, 2, 3], np.nan)), ("1", "2", "3")),
    "list of numbers with NaN": Kind(lambda: _listed([1, 2, 3], float("nan")), ("1", "2", "3")),
    "single precision": Kind(lambda: np.array(_listed([1, 2, 0.5], np.nan), dtype=np.float32), ("1", "2", "0.5")),
    "nullable numbers": Kind(lambda: pd.Series(_listed([1, 2, 3], pd.NA), dtype="Int64"), ("1", "2", "3")),
    "texts of numbers": Kind(lambda: _listed(["1", "2.0", "3"], ""), ("1", "2", "3")),
    "codes with zeros": Kind(lambda: _listed(["01", "02", "1"]), ("01", "02", "1")),
    "decimals": Kind(lambda: _listed([Decimal("1.0"), Decimal(2), Decimal("0.50")]), ("1", "2", "0.5")),
    "bins": Kind(_binned, ("(0, 30]", "(30, 60]", "(60, 90]")),
    "bins as objects": Kind(lambda: _binned().astype(object), ("(0, 30]", "(30, 60]", "(60, 90]")),
    "dates": Kind(
        lambda: _listed([date(2020, 1, 1), date(2021, 1, 1), date(2022, 1, 1)]),
        ("2020-01-01", "2021-01-01", "2022-01-01"),
    ),
    "time stamps": Kind(
        lambda: pd.Series(pd.to_datetime(_listed(["2020-01-01", "2021-01-01", "2022-01-01"]))),
        ("2020-01-01", "2021-01-01", "2022-01-01"),
    ),
    "truth values and another": Kind(lambda: _listed([True, False, "x"]), ("true", "false", "x")),
    "texts of truth values": Kind(lambda: _listed(["True", "FALSE", "x"]), ("true", "false", "x")),
    "bytes": Kind(lambda: _listed([b"f", b"m", b"x"]), ("f", "m", "x")),
}


def expected(kind: Kind) -> Told:
    """By plain counting."""
    found = {}
    for at, name in enumerate(kind.names):
        own = (at == PLACE) & ~ABSENT
        found[name] = (int(own.sum()), float(DECISION[own].mean()))
    return found


def _rates(part: FairnessPart, on: str) -> Told:
    rows = table(part)
    rows = rows[(rows.measure == "fairness.selection_rate") & (rows.on == on) & (rows.group != "")]
    assert {group.group for group in part.groups if group.group != "unknown"} == set(rows.group)
    return {row.group: (int(row.n), float(row.value)) for row in rows.itertuples()}


def by_measure(column: Any, _: Path) -> Told:
    part = measure(TRUTH, DECISION, groups={"g": column}, **EXACT)
    unknown = [group.n for group in part.groups if group.group == "unknown"]
    assert unknown == [int(ABSENT.sum())]
    return _rates(part, "g")


def by_persons(column: Any, _: Path) -> Told:
    return _rates(measure(TRUTH, DECISION, groups={"g": column}, persons=list(range(N)), **EXACT), "g")


def by_frame(column: Any, _: Path) -> Told:
    frame = pd.DataFrame({"g": column, "y": TRUTH, "d": DECISION.astype(bool)})
    return _rates(measure_table(frame, groups={"g": "g"}, truth="y", decision="d", **EXACT), "g")


def by_parquet(column: Any, folder: Path) -> Told:
    frame = pd.DataFrame({"g": column, "y": TRUTH, "d": DECISION})
    if isinstance(frame["g"].dtype, pd.CategoricalDtype) and isinstance(frame["g"].cat.categories, pd.IntervalIndex):
        frame["g"] = frame["g"].astype(object)
    kinds = {type(value) for value in frame["g"] if not pd.isna(value)}
    if len(kinds) > 1 or pd.Interval in kinds:
        frame["g"] = [None if pd.isna(value) else str(value) for value in frame["g"]]
    frame.to_parquet(folder / "rows.parquet")
    return _rates(measure_table(folder / "rows.parquet", groups={"g": "g"}, truth="y", decision="d", **EXACT), "g")


def by_outcome(column: Any, _: Path) -> Told:
    part = measure_outcome(DECISION * 1.0, TRUTH * 0.0, kind="number", groups={"g": column}, **EXACT)
    rows = outcome_table(part)
    rows = rows[(rows.metric == "mean_error") & (rows.on == "g") & (rows.group != "") & (rows.comparison == "")]
    # Means of few answers are rounded, and told without their n.
    return {row.group: (-1, float(row.value)) for row in rows.itertuples()}


def by_comparison(column: Any, _: Path) -> Told:
    part = compare(TRUTH, TWO, groups={"g": column}, **EXACT)
    rows = comparison_table(part)
    rows = rows[(rows.measure == "fairness.selection_rate") & (rows.on == "g") & (rows.group != "")]
    return {row.group: (int(row.n), float(row.before)) for row in rows.itertuples()}


def by_control(column: Any, _: Path) -> Told:
    grouping = controls(["g"], frame=pd.DataFrame({"g": column}), groupings={})["g"]
    return _of_codes(grouping.labels, grouping.codes)


def by_policy(column: Any, folder: Path) -> Told:
    """A CSV file under a policy."""
    cells = pd.Series([value.decode() if isinstance(value, bytes) else value for value in column])
    frame = pd.DataFrame({"id": range(N), "repaid": TRUTH, "g": cells})
    lender = Lender(folder, splits=("evaluation",)).write(evaluation=frame)
    data: dict[str, Any] = {"numeric": [], "categorical": [], "missing": ["NA"]}
    made = lender.table(data=data, protected={"g": {"column": "g"}}, report={"minimum-cell": 2})
    return _of_codes(made.groupings["g"].labels, made.groupings["g"].codes)


def by_metric_frame(column: Any, _: Path) -> Told:
    given = pd.Series(column, dtype=object if isinstance(column, list) else None)
    frame = MetricFrame(
        metrics=selection_rate, y_true=TRUTH[~ABSENT], y_pred=DECISION[~ABSENT],
        sensitive_features=pd.Series([str(value) for value in given[~ABSENT]], name="g"),
    )  # fmt: skip
    found = from_metric_frame(
        frame, metrics=selection_rate, y_true=TRUTH[~ABSENT], y_pred=DECISION[~ABSENT],
        sensitive_features=given[~ABSENT].rename("g"), **EXACT,
    )  # fmt: skip
    return _rates(found.part, "g")


def _of_codes(labels: tuple[str, ...], codes: Any) -> Told:
    return {label: (int((codes == at).sum()), float(DECISION[codes == at].mean())) for at, label in enumerate(labels)}


DOORS: dict[str, Callable[[Any, Path], Told]] = {
    "measure": by_measure,
    "measure, by persons": by_persons,
    "measure_table of a frame": by_frame,
    "measure_table of Parquet": by_parquet,
    "measure_outcome": by_outcome,
    "compare": by_comparison,
    "control": by_control,
    "policy": by_policy,
    "MetricFrame": by_metric_frame,
}


FAST = ("compare", "control", "measure_table of a frame", "policy")
FEW = ("bins", "numpy's texts of NaN", "texts with NaN", "truth values and another")
GRID = [
    pytest.param(name, door, marks=() if door in FAST[1:] or name in FEW else pytest.mark.prove)
    for name in sorted(KINDS)
    for door in sorted(DOORS)
]
"""Every kind through every door; those that resample are proven in full by `make prove`."""


@pytest.mark.parametrize(("name", "door"), GRID)
def test_a_group_has_one_name_one_n_and_one_rate(name: str, door: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    if door == "MetricFrame" and name in ("bytes",):
        pytest.skip("fairlearn has no name for bytes that str would not change")
    found, wanted = DOORS[door](kind.column(), tmp_path), expected(kind)
    assert set(found) == set(wanted)
    for group, (n, rate) in wanted.items():
        if found[group][0] != -1:
            assert found[group] == (n, pytest.approx(rate, abs=1e-12))
        assert found[group][1] == pytest.approx(rate, abs=0.006)


REFERENCES: list[tuple[str, Any, str]] = [
    ("category of numbers", 1, "1"),
    ("category of numbers", 2.0, "2"),
    ("numbers with NaN", np.int64(3), "3"),
    ("texts of numbers", "1.0", "1"),
    ("decimals", Decimal("0.5"), "0.5"),
    ("single precision", 0.5, "0.5"),
    ("truth values and another", False, "false"),
    ("texts of truth values", "False", "false"),
    ("bins", "(0.0, 30.0]", "(0, 30]"),
]


STATED: dict[str, Callable[[Any, Any], pd.DataFrame]] = {
    "compare": lambda column, reference: comparison_table(
        compare(TRUTH, TWO, groups={"g": column}, reference={"g": reference})
    ),
    "measure": lambda column, reference: table(
        measure(TRUTH, DECISION, groups={"g": column}, reference={"g": reference})
    ),
    "measure, one for all": lambda column, reference: table(
        measure(TRUTH, DECISION, groups={"g": column}, reference=reference)
    ),
    "measure_outcome": lambda column, reference: outcome_table(
        measure_outcome(DECISION, TRUTH, kind="number", groups={"g": column}, reference={"g": reference})
    ),
}


@pytest.mark.parametrize(
    ("door", "name", "reference", "label"),
    [
        pytest.param(door, *row, marks=() if door == "compare" or row[0] == "bins" else pytest.mark.prove)
        for row in REFERENCES
        for door in STATED
    ],
)
def test_a_reference_is_the_group_that_it_means(door: str, name: str, reference: Any, label: str) -> None:
    rows = STATED[door](KINDS[name].column(), reference)
    assert set(rows[rows.reference != ""].reference) == {label}


@pytest.mark.parametrize("reference", [1, 1.0, "1", True])
def test_a_policy_states_its_reference_as_a_number_or_a_truth_value(reference: Any, tmp_path: Path) -> None:
    column = _listed(["True", "False", "x"]) if reference is True else _listed([1, 2, 3])
    frame = pd.DataFrame({"id": range(N), "repaid": TRUTH, "g": column})
    lender = Lender(tmp_path, splits=("evaluation",)).write(evaluation=frame)
    made = lender.table(
        data={"numeric": [], "categorical": []}, protected={"g": {"column": "g", "reference": reference}}
    )
    assert made.groupings["g"].reference == ("true" if reference is True else "1")


GIVEN: dict[str, Callable[[Any], Any]] = {
    "measure": lambda truth: measure(truth, DECISION, groups={"g": PLACE}),
    "measure, decision": lambda decision: measure(TRUTH, decision, groups={"g": PLACE}),
    "measure_table": lambda truth: measure_table(
        pd.DataFrame({"y": truth, "d": DECISION, "g": PLACE}), groups={"g": "g"}, truth="y", decision="d"
    ),
    "compare": lambda truth: compare(truth, {"a": DECISION, "b": DECISION}, groups={"g": PLACE}),
    "compare, decision": lambda decision: compare(TRUTH, {"a": DECISION, "b": decision}, groups={"g": PLACE}),
    "measure_membership": lambda truth: measure_membership(
        truth, DECISION, groups={"a": PLACE == 0, "b": PLACE == 1}, kind="several"
    ),
}
WRONG: dict[str, tuple[Any, str]] = {
    "yes and no": (np.where(TRUTH == 1, "yes", "no"), "240 values of .* are neither 1 .*'(yes|no)'.*write 1"),
    "texts of truth values": (np.where(TRUTH == 1, "True", "False"), "240 values .*'(True|False)'.*write 1"),
    "good and bad": (pd.Series(np.where(TRUTH == 1, "good", "bad")).astype("category"), "240 values .*'(good|bad)'"),
    "shares": (TRUTH * 0.5, r"values .*the first is 0\.5"),
    "one and two": (TRUTH + 1, "values .*the first is 2"),
    "dates": (pd.to_datetime(["2024-01-01"] * N), "240 values .*Timestamp"),
    "infinite": (np.where(TRUTH == 1, np.inf, 0), "values .*the first is inf"),
    "texts of other numbers": ([str(value) for value in TRUTH + 7], "240 values"),
}


@pytest.mark.parametrize("door", sorted(GIVEN))
@pytest.mark.parametrize("name", sorted(WRONG))
def test_labels_and_decisions_that_are_none_are_refused_alike(name: str, door: str) -> None:
    values, said = WRONG[name]
    with pytest.raises(DataError, match=said):
        GIVEN[door](values)


READ: dict[str, Any] = {
    "truth values": TRUTH == 1,
    "floats": TRUTH * 1.0,
    "texts of numbers": [str(value) for value in TRUTH],
    "decimals": [Decimal(int(value)) for value in TRUTH],
    "nullable": pd.Series(TRUTH, dtype="Int8"),
    "nullable truth values": pd.Series(TRUTH == 1, dtype="boolean"),
    "category": pd.Categorical(TRUTH),
    "objects": TRUTH.astype(object),
}


@cache
def _plain(door: str) -> Any:
    return GIVEN[door](TRUTH)


@pytest.mark.parametrize("door", ["compare", "measure_membership", "measure_table"])
@pytest.mark.parametrize("name", sorted(READ))
def test_labels_of_every_kind_are_read_alike(name: str, door: str) -> None:
    assert GIVEN[door](READ[name]) == _plain(door)


@pytest.mark.parametrize("door", [door for door in sorted(GIVEN) if door != "measure_table"])
@pytest.mark.parametrize("shape", [(N, 1), (1, N), (N // 2, 2), (N, 1, 1)])
def test_arrays_of_more_dimensions_are_refused(door: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must hold one value a record, shape \[M\], not"):
        GIVEN[door](TRUTH.reshape(shape))


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_only_ratios_of_weights_matter_however_large(factor: float) -> None:
    weights = 0.5 + RNG.random(N)
    for door in (
        lambda w: table(measure(TRUTH, DECISION, groups={"g": PLACE}, weights=w, **EXACT)),
        lambda w: outcome_table(measure_outcome(DECISION, TRUTH, kind="number", groups={"g": PLACE}, weights=w)),
        lambda w: comparison_table(compare(TRUTH, TWO, groups={"g": PLACE}, weights=w, **EXACT)),
    ):
        plain, scaled = door(weights), door(weights * factor)
        # What is resampled draws whole numbers, which a last bit of an effective n may turn.
        for name, near in (("value", 1e-9), ("before", 1e-9), ("change", 1e-9), ("low", 0.05), ("high", 0.05)):
            if name in plain and (rows := plain["n"].notna()).any():
                one, other = (found.loc[rows, name].to_numpy(dtype=float) for found in (scaled, plain))
                np.testing.assert_allclose(one, other, rtol=near, atol=near)


@pytest.mark.parametrize("persons", [float("nan"), None, pd.NA, ""])
def test_records_without_a_person_are_persons_of_their_own(persons: Any) -> None:
    known = [f"p{at}" for at in range(N)]
    some = [persons if at % 4 == 0 else name for at, name in enumerate(known)]
    given = pd.Series(some, dtype=object) if persons is pd.NA else some
    assert compare(TRUTH, TWO, groups={"g": PLACE}, persons=given, **EXACT) == compare(
        TRUTH, TWO, groups={"g": PLACE}, persons=known, **EXACT
    )
    if persons is None:
        one, other = (measure(TRUTH, DECISION, groups={"g": PLACE}, persons=p, **EXACT) for p in (given, known))
        assert one == other


@pytest.mark.parametrize("kind", ["texts", "dates", "lists", "blobs"])
def test_files_that_cannot_be_counted_are_one_clear_error(kind: str, tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "texts": ["yes"] * 4, "dates": [date(2024, 1, 1)] * 4, "lists": [[1]] * 4, "blobs": [b"x"] * 4,
    }  # fmt: skip
    frame = pd.DataFrame({"y": columns[kind], "d": [0, 1, 0, 1], "g": ["a", "b"] * 2})
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"values of y are neither|cannot be counted"):
        measure_table(tmp_path / "rows.parquet", groups={"g": "g"}, truth="y", decision="d")
    with pytest.raises(DataError, match=r"values of y are neither"):
        measure_table(frame, groups={"g": "g"}, truth="y", decision="d")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_score_meets_the_threshold_in_its_own_precision(dtype: type, tmp_path: Path) -> None:
    score = np.where(DECISION == 1, 0.7, 0.2).astype(dtype)
    wanted = measure(TRUTH, DECISION, groups={"g": PLACE}, **EXACT)
    assert measure(TRUTH, score=score, threshold=0.7, groups={"g": PLACE}, **EXACT) == wanted
    if dtype is not np.float16:
        pd.DataFrame({"y": TRUTH, "s": score, "g": PLACE}).to_parquet(tmp_path / "rows.parquet")
        part = measure_table(tmp_path / "rows.parquet", groups={"g": "g"}, truth="y", score="s", threshold=0.7, **EXACT)
        assert part == wanted


SHARES: dict[str, Callable[[Any], Any]] = {
    "truth values": lambda own: own,
    "ints": lambda own: own.astype(int),
    "floats": lambda own: own.astype(float),
    "list": lambda own: own.tolist(),
    "texts of numbers": lambda own: [str(int(value)) for value in own],
    "nullable": lambda own: pd.Series(own, dtype="boolean"),
    "decimals": lambda own: [Decimal(int(value)) for value in own],
    "series of another index": lambda own: pd.Series(own, index=range(5, 5 + N)),
}


@pytest.mark.parametrize("name", sorted(SHARES))
def test_memberships_are_read_from_every_kind_of_column(name: str) -> None:
    groups = {1: SHARES[name](PLACE == 0), 2: SHARES[name](PLACE == 1), 3: SHARES[name](PLACE == 2)}
    plain = {str(at): at - 1 == PLACE for at in (1, 2, 3)}
    found = measure_membership(TRUTH, DECISION, groups=groups, kind="several", reference=1, **EXACT)
    assert found == measure_membership(TRUTH, DECISION, groups=plain, kind="several", reference="1", **EXACT)
    with pytest.raises(DataError, match=r"membership of 2 are needed as numbers.*'yes'"):
        measure_membership(TRUTH, DECISION, groups={**groups, 2: ["yes"] * N}, kind="several")


@pytest.mark.parametrize(
    ("groups", "attributes"),
    [
        (pd.Series(_listed(["f", "m", "x"]), name="sex"), {"sex"}),
        (pd.Series(_listed(["f", "m", "x"])), {"group"}),
        (pd.DataFrame({"sex": _listed(["f", "m", "x"]), 2: PLACE}), {"sex", "2"}),
        ({"sex": pd.Series(_listed(["f", "m", "x"]), index=range(9, 9 + N)), 2: tuple(PLACE)}, {"sex", "2"}),
    ],
)
def test_groups_come_as_a_mapping_a_frame_or_one_series(groups: Any, attributes: set[str]) -> None:
    part = compare(TRUTH, TWO, groups=groups, **EXACT)
    assert {row.on for row in part.changes if row.on} == attributes
    assert set(measure(TRUTH, DECISION, groups=groups, **EXACT).attributes) == attributes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"groups": "sex"}, "groups must say which column is which attribute, and are a str"),
        ({"groups": [["f"] * N]}, "are a list.*write groups="),
        ({"groups": {}}, "there is no attribute"),
        ({"reference": {"gender": "m"}}, "no attribute gender; there are g"),
        ({"reference": {"g": "9"}}, "'9' is no group of 'g'"),
        ({"reference": {"g": ["1"]}}, r"the name of one group, not \['1'\]"),
        ({"reference": {"g": None}}, "the name of one group, not None"),
        ({"reference": {"g": pd.Series([1])}}, "the name of one group"),
    ],
)
def test_groups_and_references_that_are_none_are_refused_alike(given: dict[str, Any], said: str) -> None:
    stated: dict[str, Any] = {"groups": {"g": PLACE}, **given}
    for door in (
        lambda: measure(TRUTH, DECISION, **stated),
        lambda: compare(TRUTH, TWO, **stated),
        lambda: measure_outcome(DECISION, TRUTH, kind="number", **stated),
    ):
        with pytest.raises(DataError, match=said):
            door()


@pytest.mark.parametrize(
    "name",
    ["bins", "truth values", *(pytest.param(x, marks=pytest.mark.prove) for x in ("category of numbers", "dates"))],
)
def test_a_frame_in_memory_is_audited_under_the_same_names(name: str) -> None:
    column = pd.Series(PLACE == 1) if name == "truth values" else pd.Series(KINDS[name].column())
    frame = pd.DataFrame({"x": RNG.normal(size=N), "place": column, "repaid": TRUTH})
    model = LogisticRegression().fit(frame[["x"]], TRUTH)
    reference = {"bins": "(0, 30]", "category of numbers": 2, "truth values": False, "dates": "2021-01-01"}[name]
    train = frame.iloc[:60].assign(x=RNG.normal(size=60))
    result = audit(model, train=train, evaluation=frame, label="repaid", protected={"place": reference}, minimum_cell=2)
    assert result.fairness is not None
    labels = {group.group for group in result.fairness.groups if group.on == "place" and group.group != "unknown"}
    assert labels == ({"true", "false"} if name == "truth values" else set(KINDS[name].names))
    stated = {group.group for group in result.fairness.groups if group.is_reference}
    assert stated == {"false" if reference is False else str(reference)}
