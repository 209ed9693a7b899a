"""Unusual but legitimate policies end in a right report or in one typed complaint; what is public tells of nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from auditkit.cli import main
from auditkit.errors import DataError, ModelError, PolicyError
from auditkit.result import AuditResult
from auditkit.run import run, train

N = 240
INF = float("inf")
COUNTS = {"n", "events", "persons", "missing_cells", "n_train"}


def records(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], N)
    x = rng.normal(size=N) + 0.3 * (sex == "m")
    keys = {"id": [f"A-{seed}{i:04d}" for i in range(N)], "person": [f"P-{seed}{i:04d}" for i in range(N)]}
    label = (rng.random(N) < 1 / (1 + np.exp(-x - 0.5))).astype(int)
    decision = (x + rng.normal(size=N) / 2 > 0).astype(int)
    columns = {"sex": sex, "age": rng.integers(18, 80, N), "x": x.round(6), "c": rng.choice(["u", "v"], N)}
    return pd.DataFrame({**keys, **columns, "y": label, "d": decision, "w": rng.integers(1, 4, N)})


class Desk:
    """A policy and its data files, to be changed by a test and then audited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train, self.evaluation = records(1), records(2)
        self.policy: dict[str, Any] = {
            "auditkit": 1, "name": "Edges",
            "data": {"train": "train.csv", "evaluation": "evaluation.csv", "id": "id", "person": "person",
                     "label": {"column": "y", "favourable": 1, "means": "outcome"},
                     "numeric": ["x"], "categorical": ["c"]},
            "model": {"adapter": "tabular", "path": "model", "training": {"epochs": 5}},
            "protected": {"sex": {"column": "sex", "groups": ["f", "m"], "reference": "m"}},
            "fairness": {"replicates": 1000},
            "privacy": {"bank": "none"},
            "rules": [
                rule("R1", "fairness.impact_ratio", ">=", 0.8, on="sex"), rule("R2", "model.accuracy", ">=", 0.5),
            ],
            "report": {"formats": ["json", "html"]},
        }  # fmt: skip

    def recorded(self) -> Desk:
        """Decisions in the file in place of a model: quick."""
        self.policy["model"] = {"adapter": "predictions", "decision": "d"}
        del self.policy["data"]["train"], self.policy["privacy"]
        return self

    def write(self) -> Path:
        self.train.to_csv(self.folder / "train.csv", index=False)
        self.evaluation.to_csv(self.folder / "evaluation.csv", index=False)
        path = self.folder / "policy.yaml"
        with path.open("w", encoding="utf-8") as stream:
            YAML(typ="safe").dump(self.policy, stream)
        return path

    def audit(self) -> tuple[AuditResult, str]:
        """The result, and everything public as one text."""
        path = self.write()
        if self.policy["model"]["adapter"] == "tabular":
            train(path)
        done = run(path, out=self.folder / "out")
        return done.result, "".join(file.read_text("utf-8") for file in done.files)


def rule(name: str, measure: str, op: str, threshold: float, **more: str) -> dict[str, Any]:
    judged = {"id": name, "measure": measure, "op": op, "threshold": threshold}
    return {**judged, "severity": "low", "because": "a test", **more}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    return Desk(tmp_path)


def small_counts(value: Any, minimum: int, key: str = "") -> Iterator[str]:
    """Every published count of records or persons below the minimum cell."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from small_counts(inner, minimum, f"{key}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from small_counts(inner, minimum, f"{key}.{index}")
    elif isinstance(value, int) and key.rpartition(".")[2] in COUNTS and 0 < value < minimum:
        yield f"{key} = {value}"


# --- nothing public tells of few persons --------------------------------------------------------------------------


def test_a_value_that_few_persons_have_and_no_policy_declares_is_named_nowhere(desk: Desk) -> None:
    del desk.policy["protected"]["sex"]["groups"]
    desk.evaluation.loc[:1, "sex"] = "RARESEX"
    desk.evaluation.loc[:0, "c"] = "RAREC"
    result, public = desk.audit()
    assert "RARESEX" not in public and "RAREC" not in public
    assert [g.group for g in result.fairness.groups] == ["f", "m", "other values", "unknown"]
    assert not list(small_counts(json.loads(result.model_dump_json()), 10))


def test_a_filter_that_names_a_record_is_not_printed(desk: Desk) -> None:
    one = desk.evaluation["id"][0]
    desk.policy["slices"] = {
        "one": {"where": f"id = '{one}'", "why": "one"},
        "rest": {"where": f"id <> '{one}'", "why": "all but one"},
        "nobody": {"where": "age > 500", "why": "nobody"},
    }
    desk.policy["cases"] = [str(one)]
    result, public = desk.audit()
    assert not [key for key in (*desk.evaluation["id"], *desk.evaluation["person"]) if key in public]
    assert not list(small_counts(json.loads(result.model_dump_json()), 10))
    assert ("slice nobody", True) in [(f.name, "no evaluation record passes" in f.value) for f in result.data.checks]


def test_a_text_that_names_a_record_or_a_person_is_refused(desk: Desk) -> None:
    why = f"After the letter of {desk.evaluation['id'][7]}."
    desk.recorded().policy["slices"] = {"u": {"where": "c = 'u'", "why": why}}
    desk.policy["report"]["title"] = f"On {desk.evaluation['person'][3]}"
    with pytest.raises(PolicyError, match="names a record or a person by id") as caught:
        desk.audit()
    assert len(caught.value.complaints) == 2
    assert all("policy.yaml:" in complaint.where for complaint in caught.value.complaints)


def test_a_class_of_few_rounds_the_figures_that_would_give_it_away(desk: Desk) -> None:
    desk.evaluation["y"] = 1
    desk.evaluation.loc[:2, "y"] = 0
    desk.evaluation["d"] = desk.evaluation["y"]
    result, _ = desk.recorded().audit()
    (accuracy,) = result.model.measurements
    assert (accuracy.estimate.n, accuracy.estimate.events) == (None, None) and accuracy.estimate.step > 0
    share = result.data.splits[0].favourable_share
    assert share is not None and (share.n, share.events) == (None, None) and share.step > 0


def test_few_missing_cells_are_not_counted_exactly(desk: Desk) -> None:
    desk.evaluation.loc[:2, "sex"] = np.nan
    result, public = desk.recorded().audit()
    assert result.data.splits[0].missing_cells is None and "fewer than 10" in public


@pytest.mark.parametrize("persons", [1, 9])
def test_a_split_of_too_few_persons_is_refused(desk: Desk, persons: int) -> None:
    desk.recorded().evaluation["person"] = [f"P{i % persons}" for i in range(N)]
    with pytest.raises(DataError, match=r"data\.evaluation: the evaluation records are of fewer than 10 persons"):
        desk.audit()


def test_the_sentence_on_a_withheld_unknown_share_says_at_most(desk: Desk) -> None:
    desk.evaluation = desk.evaluation.iloc[:40].copy()
    desk.evaluation.loc[:2, "sex"] = np.nan
    result, _ = desk.recorded().audit()
    (finding,) = [f for f in result.findings if f.id == "R1"]
    assert "membership is unknown for at most 25.0% of the records" in finding.reason


def test_repeated_persons_widen_the_intervals_of_the_data_part(desk: Desk) -> None:
    desk.recorded().evaluation["d"] = desk.evaluation["y"]
    alone, _ = desk.audit()
    desk.evaluation = pd.concat([desk.evaluation] * 2, ignore_index=True).assign(id=[f"B-{i}" for i in range(2 * N)])
    twice, _ = desk.audit()
    one, two = alone.data.splits[0].favourable_share, twice.data.splits[0].favourable_share
    assert one is not None and two is not None and "design effect 2.00" in two.method
    assert two.low == pytest.approx(one.low) and two.high == pytest.approx(one.high)


# --- legitimate policies end in a report --------------------------------------------------------------------------


def no_protected(desk: Desk) -> None:
    desk.policy["protected"] = {}
    del desk.policy["rules"][0]


def no_rules(desk: Desk) -> None:
    desk.policy["rules"] = []


def odd_labels(desk: Desk) -> None:
    names = {"f": "fé · \"'<b>", "m": "m · x, y"}
    desk.evaluation["sex"] = desk.evaluation["sex"].map(names)
    desk.policy["protected"] = {
        "sex": {"column": "sex", "groups": list(names.values()), "reference": names["m"]},
        "age": {"column": "age", "bins": [18, 40, INF]},
        "intersections": [["sex", "age"]],
    }


def truths(desk: Desk) -> None:
    for column, yes in (("sex", "m"), ("y", 1), ("d", 1)):
        desk.evaluation[column] = desk.evaluation[column] == yes
    desk.policy["protected"]["sex"].update(groups=[False, True], reference="true")
    desk.policy["data"]["label"]["favourable"] = True


def sixty_groups(desk: Desk) -> None:
    desk.evaluation["branch"] = [f"b{i % 60}" for i in range(N)]
    desk.policy["protected"]["branch"] = {"column": "branch", "groups": [f"b{i}" for i in range(60)]}
    desk.policy["rules"].append(rule("R3", "fairness.impact_ratio", ">=", 0.8, on="branch"))


def all_favourable(desk: Desk) -> None:
    desk.evaluation["d"] = 1


def none_favourable(desk: Desk) -> None:
    desk.evaluation["d"] = 0


def no_reference(desk: Desk) -> None:
    desk.evaluation["sex"] = "f"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (no_protected, 0), (no_rules, 3), (odd_labels, 0), (truths, 0), (sixty_groups, 3), (all_favourable, 0),
        (none_favourable, 1), (no_reference, 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("minimum", [2, 10, 100])
def test_a_legitimate_policy_ends_in_a_report(
    desk: Desk, change: Callable[[Desk], None], code: int, minimum: int
) -> None:
    """A minimum cell of 100 of 240 records rounds so far that a rule may stay open; it never decides otherwise."""
    desk.policy["report"]["minimum-cell"] = minimum
    change(desk.recorded())
    result, _ = desk.audit()
    assert result.conclusion.exit_code in ({code, 3} if minimum == 100 else {code})
    assert not list(small_counts(json.loads(result.model_dump_json()), minimum))


# --- what cannot be done is one typed complaint -------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_a_complaint_before_the_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.recorded().write()
    stages: list[str] = []
    with pytest.raises(PolicyError, match=r"policy\.yaml.*nothing can be written there"):
        run(path, out=path, progress=stages.append)
    monkeypatch.setattr("auditkit.run.os.access", lambda *asked: False)
    with pytest.raises(PolicyError, match=r"nothing can be written there \(Permission denied\)"):
        run(path, out=desk.folder / "out", progress=stages.append)
    assert stages == ["load", "load"] and not (desk.folder / "out").exists()


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)\n", "def model():\n    raise SystemExit(0)\n"])
def test_a_model_module_that_ends_the_program_is_no_verdict(desk: Desk, code: str) -> None:
    name = f"leaver_{len(code)}"
    (desk.folder / f"{name}.py").write_text(code)
    desk.policy["model"] = {"adapter": "estimator", "subject": f"{name}:model"}
    with pytest.raises(ModelError, match="SystemExit: 0"):
        run(desk.write(), out=desk.folder / "out")


def test_a_broken_epoch_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert main(["schema"]) == PolicyError.exit_code
    assert "SOURCE_DATE_EPOCH is 'soon'" in capsys.readouterr().err


def test_an_interrupted_run_leaves_nothing(desk: Desk) -> None:
    def stop(stage: str) -> None:
        if stage == "evidence":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(desk.recorded().write(), out=desk.folder / "out", progress=stop)
    assert not list((desk.folder).glob("out/**/*.json"))
