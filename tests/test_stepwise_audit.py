"""A whole audit whose verdicts rest on Holm's tests and whose persons repeat: its figures again, from the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from scipy import optimize, stats

from auditkit.result import AuditResult
from auditkit.run import run
from tests.policies.real.printed import Result, unexplained

THRESHOLD = 0.8
GROUPS = ["ref", "a", "b", "c", "d"]
BASE = {"ref": 0.60, "a": 0.38, "b": 0.41, "c": 0.43, "d": 0.56}
RULE = {"id": "F1", "measure": "fairness.impact_ratio", "on": "group", "op": ">=", "threshold": THRESHOLD}


def rows() -> pd.DataFrame:
    """1,500 records of persons with one to three each, in three branches; selection goes with group and branch."""
    draw = np.random.default_rng(7)
    persons = 750
    own = pd.DataFrame({"group": draw.choice(GROUPS, persons, p=[0.4, 0.15, 0.15, 0.15, 0.15])})
    own["bent"] = draw.normal(0, 0.15, persons)
    who = np.repeat(np.arange(persons), draw.integers(1, 4, persons))
    frame = own.iloc[who].reset_index(drop=True)
    frame["person"] = [f"person-{code:05d}" for code in who]
    frame["branch"] = draw.choice(["north", "south", "west"], len(frame))
    lift = frame["branch"].map({"north": 0.1, "south": 0.0, "west": -0.1})
    chance = np.clip(frame["group"].map(BASE) + lift + frame["bent"], 0.02, 0.98)
    frame["decision"] = draw.binomial(1, chance)
    frame["label"] = draw.binomial(1, 0.3 + 0.4 * frame["decision"])
    frame["id"] = [f"record-{i:05d}" for i in range(len(frame))]
    return frame.drop(columns="bent")


def policy(folder: Path, *, multiplicity: str) -> Path:
    given = {
        "auditkit": 1, "name": "Stepwise",
        "data": {
            "evaluation": "rows.csv", "id": "id", "person": "person",
            "label": {"column": "label", "favourable": 1, "means": "outcome"}, "categorical": ["branch"],
        },
        "model": {"adapter": "predictions", "decision": "decision"},
        "protected": {"group": {"column": "group", "groups": GROUPS, "reference": "ref"}},
        "fairness": {"replicates": 2000, "multiplicity": multiplicity, "control": ["branch"], "discovery": "none"},
        "rules": [{**RULE, "severity": "high", "because": "a test"}],
        "report": {"formats": ["json", "html"]},
    }  # fmt: skip
    path = folder / "policy.yaml"
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(given, stream)
    return path


Audited = tuple[AuditResult, Path, bytes]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rows()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Audited:
    folder = tmp_path_factory.mktemp("stepwise")
    frame.to_csv(folder / "rows.csv", index=False)
    done = run(policy(folder, multiplicity="holm"), out=folder / "out")
    page, raw = (next(file for file in done.files if file.suffix == suffix) for suffix in (".html", ".json"))
    return done.result, page, raw.read_bytes()


def effective(frame: pd.DataFrame) -> float:
    """Records over the design effect: the sandwich variance of the rate over persons against p (1 - p) / n."""
    by = frame.groupby("person")["decision"].agg(["sum", "count"])
    p, n = by["sum"].sum() / by["count"].sum(), by["count"].sum()
    spread = ((by["sum"] - p * by["count"]) ** 2).sum() / n**2 * len(by) / (len(by) - 1)
    most = (by["count"] ** 2).sum() / n
    return float(n / min(max(spread / (p * (1 - p) / n), 1.0), most))


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Both roots of (p - x)² = z² x (1 - x) / n."""
    ends = np.roots([1 + z * z / n, -2 * p - z * z / n, p * p])
    return float(ends.min()), float(ends.max())


def ratio_p(own: tuple[float, float], base: tuple[float, float]) -> float:
    """The p-value at which MOVER's limit of the logarithm of the ratio is the threshold's."""
    centre = math.log(own[0] / base[0])

    def short(z: float) -> float:
        (low, high), (low0, high0) = wilson(*own, z), wilson(*base, z)
        up = math.hypot(math.log(high / own[0]), math.log(base[0] / low0))
        down = math.hypot(math.log(own[0] / low), math.log(high0 / base[0]))
        at = math.log(THRESHOLD)
        return centre + up - at if centre < at else at - centre + down

    return float(2 * stats.norm.sf(optimize.brentq(short, 1e-6, 12.0, xtol=1e-14)))


def test_every_test_of_the_threshold(audited: Audited, frame: pd.DataFrame) -> None:
    result = audited[0]
    sides = {name: (part["decision"].mean(), effective(part)) for name, part in frame.groupby("group")}
    p = {name: ratio_p(sides[name], sides["ref"]) for name in GROUPS[1:]}
    order, adjusted, most = sorted(p, key=p.__getitem__), {}, 0.0
    for rank, name in enumerate(order):
        most = max(most, min(1.0, p[name] * (4 - rank)))
        adjusted[name] = most
    found = {test.group: test for test in result.fairness.tests[0].thresholds}
    assert set(found) == set(p)
    for name, test in found.items():
        assert (test.measure, test.threshold, test.family) == (RULE["measure"], THRESHOLD, 4)
        assert test.p == pytest.approx(p[name], rel=1e-6)
        assert test.adjusted_p == pytest.approx(adjusted[name], rel=1e-6)
    (finding,) = result.findings
    for verdict in finding.groups:
        below = sides[verdict.group][0] / sides["ref"][0] < THRESHOLD
        wanted = "insufficient-evidence" if adjusted[verdict.group] > 0.05 else "breaches" if below else "meets"
        assert verdict.verdict == wanted
    assert finding.verdict == "breaches"


def within(frame: pd.DataFrame, name: str) -> float:
    """Mantel and Haenszel's difference of the group and the reference, stratum by stratum."""
    above = weight = 0.0
    for _, part in frame.groupby("branch"):
        own, base = (part.loc[part["group"] == side, "decision"] for side in (name, "ref"))
        above += (own.sum() * len(base) - base.sum() * len(own)) / (len(own) + len(base))
        weight += len(own) * len(base) / (len(own) + len(base))
    return above / weight


def test_strata_by_person(audited: Audited, frame: pd.DataFrame) -> None:
    result = audited[0]
    z = stats.norm.ppf(0.5 + 0.95 ** (1 / 4) / 2)
    rows_ = {row.group: row for row in result.fairness.conditional}
    assert set(rows_) == set(GROUPS[1:])
    for name in ("a",):
        both = frame[frame["group"].isin([name, "ref"])]
        value = within(both, name)
        persons = both["person"].unique()
        without = np.array([within(both[both["person"] != one], name) for one in persons])
        row = rows_[name]
        assert row.adjusted.value == pytest.approx(value, abs=1e-12)
        error = math.sqrt(((without - without.mean()) ** 2).sum() * (1 - 1 / len(persons)))
        assert (row.adjusted.low, row.adjusted.high) == pytest.approx((value - z * error, value + z * error), abs=1e-9)
        side, total = both["group"] == name, {}
        for _, stratum in both.groupby("branch"):
            a, y = side[stratum.index].astype(float), stratum["decision"]
            own = (a - a.mean()) * (y - y.mean())
            for person, part_ in (own * math.sqrt(len(own) / (len(own) - 1))).groupby(stratum["person"]):
                total[person] = total.get(person, 0.0) + part_.sum()
        excess = sum(
            (stratum.loc[side[stratum.index], "decision"] - stratum["decision"].mean()).sum()
            for _, stratum in both.groupby("branch")
        )
        wanted = stats.chi2.sf(excess**2 / sum(v * v for v in total.values()), 1)
        assert row.cmh_p == pytest.approx(wanted, rel=1e-6)
        assert row.heterogeneity_p is None


def test_what_is_printed_is_in_the_result(audited: Audited) -> None:
    _, page, document = audited
    assert "Tests of the thresholds by group" in page.read_text("utf-8")
    # A line of methods names the least and the largest design effect of the estimates that it stands for.
    merged = "divided by the design effect "
    assert [what for what in unexplained(Result(json.loads(document), document), page) if merged not in what] == []
