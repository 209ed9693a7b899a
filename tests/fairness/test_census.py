"""The whole audit of 665,800 census records, with slices that nobody named, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

DATA = Path(__file__).parents[2] / "../shared/data/acs_income"
READ = ["AGEP", "WKHP", "SCHL", "COW", "MAR", "RELP", "OCCP", "POBP"]
POLICY = """
auditkit: 1
name: Census income
domain: consumer-credit
data:
  evaluation: rows.parquet
  label: {column: PINCP, favourable: 1, means: outcome}
  numeric: [AGEP, WKHP]
  categorical: [SCHL, COW, MAR, RELP, OCCP, POBP]
model: {adapter: predictions, decision: approved}
protected:
  sex: {column: SEX, groups: ["1", "2"], reference: "1"}
  race: {column: RAC1P, reference: "0"}
  age: {column: AGEP, bins: [17, 25, 40, 62, .inf], reference: "25-39"}
  intersections: [[sex, race], [sex, age], [race, age]]
rules:
  - {id: F1, measure: fairness.impact_ratio, on: sex, op: ">=", threshold: 0.8, severity: high, because: a standard}
"""


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_the_census_in_a_minute(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    if not DATA.exists():
        pytest.skip("the census data are absent")
    frame = pd.concat([pd.read_parquet(file) for file in sorted(DATA.glob("*.parquet"))], ignore_index=True)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    model.fit(frame[READ].iloc[:100_000], frame["PINCP"].iloc[:100_000])
    frame["approved"] = (model.predict_proba(frame[READ])[:, 1] >= 0.5).astype(np.int64)
    frame = frame.astype(dict.fromkeys(("SCHL", "COW", "MAR", "RELP", "OCCP", "POBP", "SEX", "RAC1P"), np.int64))
    frame[[*READ, "SEX", "RAC1P", "PINCP", "approved"]].to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "census.yaml").write_text(POLICY)
    command = [sys.executable, "-m", "auditkit", "run", "census.yaml", "--out", "out", "--as-of", "2026-11-23"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode in (0, 1, 3), done.stderr
    (file,) = tmp_path.glob("out/*/*/public/audit.json")
    fairness = json.loads(file.read_text())["fairness"]
    confirmed = [row for found in fairness["discovery"]["outcomes"] for row in found["slices"] if row["confirmed"]]
    record_property("records", len(frame))
    record_property("confirmed slices", len(confirmed))
    record_property("s, reading to sealed report", seconds)
    assert confirmed
    assert seconds < 60
