"""A lender small enough to be retrained in a test: the first rows of the sample, under a policy of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from auditkit.run import train

LOANS = Path(__file__).parents[2] / "sample_data" / "loans"
SIZES = {"train": 400, "reserve": 120, "evaluation": 400}

POLICY = """
auditkit: 1
name: Small lender
data:
  train: train.csv
  reserve: reserve.csv
  evaluation: evaluation.csv
  id: application_id
  person: applicant_id
  label: {{column: repaid, favourable: 1, means: outcome}}
  numeric: [income, amount, term_months]
  categorical: [employment, branch]
model: {{adapter: tabular, path: model, training: {training}}}
protected:
  sex: {{column: sex, groups: [female, male], reference: male, unknown: [U]}}
slices:
  declined-who-repaid: {{where: "repaid = 1 AND decision = 0", why: Repaid and would be declined}}
  short: {{where: "term_months < 30", why: Short loans}}
influence: {influence}
privacy: {privacy}
rules:
  - {{id: M1, measure: model.accuracy, op: ">=", threshold: 0.5, severity: low, because: A test}}
report: {{minimum-cell: 10}}
seed: 3
"""


def write_lender(
    folder: Path,
    *,
    training: str = "{module: logistic, l2: 0.003}",
    influence: str = "{fidelity-floor: 0.3}",
    privacy: str = "{bank: auto}",
    persons: int = 1,
) -> Path:
    """Files, policy and trained model; `persons` rows in a row share one applicant. The policy's path."""
    for split, count in SIZES.items():
        frame = pd.read_csv(LOANS / f"{split}.csv").head(count)
        if persons > 1:
            frame["applicant_id"] = [f"{split}-{i // persons}" for i in range(len(frame))]
        frame.to_csv(folder / f"{split}.csv", index=False)
    path = folder / "small.yaml"
    path.write_text(POLICY.format(training=training, influence=influence, privacy=privacy), encoding="utf-8")
    train(path)
    return path
