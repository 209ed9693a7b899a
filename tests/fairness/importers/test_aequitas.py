"""Aequitas configurations as policies: what they ask for is asked, and nothing is dropped without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.cli import main
from auditkit.errors import DataError, PolicyError
from auditkit.fairness.importers.aequitas import LEFT, TAKEN, Imported, from_aequitas
from auditkit.notebook import audit_file
from auditkit.policy.load import from_mapping, load

COMPAS = Path(__file__).parents[4] / "shared" / "data" / "compas" / "compas-scores-two-years.csv.gz"


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 1000
    return pd.DataFrame({
        "entity_id": np.arange(n),
        "score": rng.permutation(n) / n,
        "label_value": rng.integers(0, 2, n),
        "race": rng.choice(["Black", "White", "Other"], n, p=[0.5, 0.3, 0.2]),
        "sex": rng.choice(["F", "M"], n),
    })


def take(frame: pd.DataFrame, config: dict[str, Any], positive: str = "favourable") -> Imported:
    return from_aequitas(
        config, frame, evaluation="scores.csv", positive=positive, label_means="outcome",  # type: ignore[arg-type]
    )  # fmt: skip


CUT = {"score_thresholds": {"score_val": [0.5]}}


def test_the_policy_is_one(frame: pd.DataFrame) -> None:
    config = {
        **CUT, "ref_groups_method": "predefined", "ref_groups": {"race": "White", "sex": "M"},
        "fairness_threshold": 0.8, "fairness_measures": ["FPR Parity", "Impact Parity"], "attr_cols": ["race", "sex"],
        "project_description": {"title": "Parole", "goal": "Who is released"},
    }  # fmt: skip
    policy = from_mapping(take(frame, config).policy)
    assert (policy.name, policy.purpose) == ("Parole", "Who is released")
    assert policy.model.decision == "score >= 0.5"
    assert {name: rule.reference for name, rule in policy.protected.items()} == {"race": "White", "sex": "M"}
    assert policy.data.id == "entity_id"
    asked = {(r.measure, r.on, r.op, r.threshold) for r in policy.rules}
    assert asked == {
        (measure, on, op, threshold)
        for measure in ("fairness.fpr_ratio", "fairness.impact_ratio")
        for on in ("race", "sex")
        for op, threshold in ((">=", 0.8), ("<=", 1.25))
    }


def test_where_positive_is_bad_the_measures_change_their_names(frame: pd.DataFrame) -> None:
    config = {**CUT, "fairness_measures": ["FPR Parity", "FDR Parity", "TPR Parity", "Impact Parity"]}
    found = take(frame, config, "unfavourable")
    assert found.policy["model"]["decision"] == "score < 0.5"
    assert found.policy["data"]["label"]["favourable"] == 0
    assert {rule["measure"] for rule in found.policy["rules"]} == {
        "fairness.fnr_ratio", "fairness.for_ratio", "fairness.tnr_ratio",
    }  # fmt: skip
    assert any("Impact Parity compares rates of unfavourable decisions" in said for said in found.told)


def test_joint_parities_are_the_ones_they_are_made_of(frame: pd.DataFrame) -> None:
    found = take(frame, {**CUT, "fairness_measures": ["Supervised Fairness", "Equalized Odds"]})
    measures = {rule["measure"] for rule in found.policy["rules"]}
    assert measures == {f"fairness.{name}_ratio" for name in ("fdr", "fpr", "for", "fnr", "tpr")}


def test_every_key_is_taken_or_told(frame: pd.DataFrame) -> None:
    config = {
        **CUT, **{key: {"db_credentials": {"password": "hunter2"}} if key == "db" else [] for key in LEFT},
        "fairnes_threshold": 0.9,
    }  # fmt: skip
    found = take(frame, config)
    for key in config:
        assert key in TAKEN or any(said.startswith(f"{key}: not taken over") for said in found.told)
    assert any("like fairness_threshold" in said for said in found.told)
    assert "hunter2" not in str(found.told) + str(found.policy)


def test_several_thresholds_are_several_models(frame: pd.DataFrame) -> None:
    found = take(frame, {"score_thresholds": {"rank_abs": [150, 300], "rank_pct": [0.05]}})
    policy = from_mapping(found.policy)
    assert list(policy.compare) == ["top-300", "top-5-percent"]
    for decision, count in (
        (policy.model.decision, 150), (policy.compare["top-300"].decision, 300),
        (policy.compare["top-5-percent"].decision, 50),
    ):  # fmt: skip
        assert len(frame.query(str(decision))) == count


def test_ties_at_a_rank_are_told(frame: pd.DataFrame) -> None:
    frame["score"] = np.round(frame["score"], 1)
    found = take(frame, {"score_thresholds": {"rank_abs": [120]}})
    reached = int((frame["score"] >= frame["score"].nlargest(120).min()).sum())
    assert reached > 120
    assert any(f"which {reached:,} records reach; Aequitas takes the first 120" in said for said in found.told)


def test_numbers_fall_into_the_quartiles_of_aequitas(frame: pd.DataFrame) -> None:
    frame["age"] = np.random.default_rng(2).integers(18, 80, len(frame))
    cut, edges = pd.qcut(frame["age"], 4, precision=2, labels=False, duplicates="drop", retbins=True)
    theirs = f"{edges[1]:0.2f}-{edges[2]:0.2f}"
    config = {**CUT, "ref_groups_method": "predefined", "ref_groups": {"age": theirs}}
    stated = take(frame, config).policy["protected"]["age"]
    own = pd.cut(frame["age"], stated["bins"], right=False, labels=False)
    assert (own == cut).all()
    low, high = map(int, stated["reference"].split("-"))
    assert frame["age"][cut == 1].min() == low
    assert frame["age"][cut == 1].max() == high


def test_columns_that_cannot_be_taken_over_are_told(frame: pd.DataFrame) -> None:
    frame["income"] = np.random.default_rng(2).random(len(frame))
    frame["name"] = [f"n{k}" for k in range(len(frame))]
    frame["same"] = "x"
    frame["flag"] = frame["label_value"]
    found = take(frame, CUT)
    assert set(found.policy["protected"]) == {"race", "sex", "flag"}
    for name in ("income", "name", "same", "flag"):
        assert any(said.startswith(f"{name}:") for said in found.told)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"fairness_measures": ["FPR Partiy"]}, "did you mean 'FPR Parity'"),
        ({"fairness_threshold": 1.2}, "more than 0 and at most 1"),
        ({"ref_groups_method": "best"}, "predefined, majority and min_metric"),
        ({"ref_groups_method": "predefined", "ref_groups": {"race": "Whte"}}, "none of its groups"),
        ({"score_thresholds": {"rank_pct": [5.0]}}, "is no share"),
        ({"score_thresholds": {"rank_abs": [5000]}}, "selects 5,000 of 1,000 records"),
        ({"score_thresholds": {"rank": [5]}}, "no kind of threshold"),
        ({"alpha": 2}, "alpha is 2"),
    ],
)
def test_what_aequitas_does_not_know_is_refused(frame: pd.DataFrame, config: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        take(frame, {**CUT, **config})
    assert said in " ".join(f"{c.message} {c.hint}" for c in caught.value.complaints)


def test_files_that_do_not_fit_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no threshold is stated"):
        take(frame, {})
    with pytest.raises(DataError, match="no column label_value"):
        take(frame.drop(columns="label_value"), CUT)
    with pytest.raises(DataError, match="2 models below each other"):
        take(frame.assign(model_id=np.arange(len(frame)) % 2), CUT)
    with pytest.raises(DataError, match="no column wage"):
        take(frame, {**CUT, "attr_cols": ["wage"]})


def test_min_metric_and_an_alpha_are_told(frame: pd.DataFrame) -> None:
    found = take(frame, {**CUT, "ref_groups_method": "min_metric", "check_significance": True, "alpha": 0.1})
    assert any(said.startswith("ref_groups_method: min_metric compares") for said in found.told)
    assert from_mapping(found.policy).fairness.level == 0.9


def test_the_command_writes_a_policy_that_can_be_run(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "config.yaml").write_text("score_thresholds: {score_val: [0.5]}\nfairness_measures: [FPR Parity]\n")
    given = ["import", "aequitas", str(tmp_path / "config.yaml"), "--data", str(tmp_path / "scores.csv")]
    written = tmp_path / "policy.yaml"
    assert main([*given, "--positive", "favourable", "--out", str(written)]) == 0
    assert "means" in written.read_text("utf-8")
    with pytest.raises(PolicyError, match="still to be filled in"):
        load(written)
    assert main([*given, "--positive", "favourable", "--out", str(written)]) == 2
    written.unlink()
    assert main([*given, "--positive", "favourable", "--label-means", "outcome", "--out", str(written)]) == 0
    assert load(written).policy.model.score == "score"
    assert main(["check", str(written)]) == 0
    capsys.readouterr()
    assert main([*given, "--positive", "favourable", "--label-means", "outcome"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("# From the Aequitas configuration config.yaml")
    assert "attr_cols: none are stated" in said.err


def test_the_disparities_of_the_compas_demo_come_out(tmp_path: Path) -> None:
    """The figures of Aequitas's own demonstration, which is about high risk: an unfavourable decision."""
    if not COMPAS.exists():
        pytest.skip("the COMPAS file is not here")
    data = pd.read_csv(COMPAS).rename(columns={"decile_score": "score", "two_year_recid": "label_value"})
    data[["id", "score", "label_value", "race"]].to_csv(tmp_path / "compas.csv", index=False)
    config = {
        "score_thresholds": {"score_val": [5]}, "ref_groups_method": "predefined", "ref_groups": {"race": "Caucasian"},
        "attr_cols": ["race"], "fairness_measures": ["FPR Parity", "FNR Parity", "FDR Parity", "FOR Parity"],
    }  # fmt: skip
    policy = from_aequitas(config, data, evaluation="compas.csv", positive="unfavourable", label_means="outcome").policy
    policy["fairness"] = {"discovery": "none", "replicates": 1000}
    import json

    (tmp_path / "policy.yaml").write_text(json.dumps(policy))
    result = audit_file(tmp_path / "policy.yaml")
    found = {r.measure: r.estimate.value for r in result.fairness.measurements if r.group == "African-American"}
    assert found["fairness.fnr_ratio"] == pytest.approx(1.912093, abs=1e-6)
    assert found["fairness.fpr_ratio"] == pytest.approx(0.586416, abs=1e-6)
    assert found["fairness.for_ratio"] == pytest.approx(0.906085, abs=1e-6)
    assert found["fairness.fdr_ratio"] == pytest.approx(1.213154, abs=1e-6)
