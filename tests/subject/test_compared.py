"""Another tabular model beside the audited one: opened from its folder, held against the data, asked once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import ModelError
from auditkit.preflight import prepare
from auditkit.run import train

POLICY = """
auditkit: 1
name: A small lender
data:
  train: train.csv
  evaluation: evaluation.csv
  label: {{column: {label}, favourable: 1, means: outcome}}
  numeric: [{numeric}]
model: {{adapter: tabular, path: {path}, training: {{l2: {l2}}}}}
{compare}
protected: {{sex: {{column: sex, groups: [f, m]}}}}
rules: []
"""
COMPARE = "compare: {{other: {{path: {path}, threshold: {threshold}}}}}"


def write(
    folder: Path, name: str, *, numeric: str = "a, b", l2: float = 0.01, label: str = "paid", compare: str = ""
) -> Path:
    policy = folder / f"{name}.yaml"
    policy.write_text(POLICY.format(label=label, numeric=numeric, path=f"model-{name}", l2=l2, compare=compare))
    return policy


@pytest.fixture
def lender(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    for name in ("train", "evaluation"):
        frame = pd.DataFrame(rng.normal(size=(120, 2)), columns=["a", "b"]).round(3)
        frame["paid"] = (frame["a"] + rng.normal(size=120) > 0).astype(int)
        frame["late"] = 1 - frame["paid"]
        frame["sex"] = rng.choice(["f", "m"], 120)
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    train(write(tmp_path, "own"))
    return tmp_path


def test_a_model_with_other_columns_and_settings_is_asked_with_its_threshold(lender: Path) -> None:
    train(write(lender, "other", numeric="b", l2=0.5))
    for threshold in (0.4, 0.55):
        compare = COMPARE.format(path="model-other", threshold=threshold)
        found = prepare(write(lender, "own", compare=compare)).compared["other"]
        alone = prepare(write(lender, "other", numeric="b", l2=0.5))
        frame = alone.table.frame.iloc[alone.table.rows("evaluation")]
        assert alone.subject.score is not None
        np.testing.assert_array_equal(found.decision, alone.subject.score(frame) >= threshold)
        assert (found.source, found.threshold) == ("logistic regression", threshold)
        assert found.digest == alone.subject.digest


def test_paths_are_relative_to_the_file_that_states_them(lender: Path) -> None:
    train(write(lender, "other", l2=0.5))
    write(lender, "own", compare=COMPARE.format(path="model-other", threshold=0.5))
    (lender / "below").mkdir()
    child = lender / "below" / "child.yaml"
    child.write_text("extends: ../own.yaml\nname: The child\n")
    assert prepare(child).policy.compare["other"].path == lender / "model-other"


def test_a_model_of_another_outcome_is_refused(lender: Path) -> None:
    train(write(lender, "other", label="late"))
    with pytest.raises(ModelError, match="compare models of one outcome"):
        prepare(write(lender, "own", compare=COMPARE.format(path="model-other", threshold=0.5)))


def test_a_model_that_reads_what_the_data_have_not_is_refused(lender: Path) -> None:
    train(write(lender, "other", numeric="a, b"))
    for name in ("train", "evaluation"):
        frame = pd.read_csv(lender / f"{name}.csv")
        frame.drop(columns="b").to_csv(lender / f"{name}.csv", index=False)
    train(write(lender, "own", numeric="a"), replace=True)
    with pytest.raises(ModelError, match="which the data have not"):
        prepare(
            write(lender, "own", numeric="a", compare=COMPARE.format(path="model-other", threshold=0.5))
        )


def test_without_the_section_there_is_nothing(lender: Path) -> None:
    assert prepare(write(lender, "own")).compared == {}
