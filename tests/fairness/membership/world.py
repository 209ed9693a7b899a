"""A small file of decisions in which groups overlap, and one in which only their probabilities are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

TRAITS = ("Carer", "Veteran", "Disabled")
RACES = ("Asian", "Black", "White")

POLICY = """\
auditkit: 1
name: Overlapping groups
domain: research
data:
  evaluation: decisions.csv
  source: simulated
  id: id
  person: person
  label: {column: paid, favourable: 1, means: outcome}
model: {adapter: predictions, decision: approved}
protected:
  sex: {column: sex, groups: [F, M], reference: M}
memberships:
  traits: {column: traits, groups: [Carer, Veteran, Disabled], separator: "|", reference: others}
  traits-by-column: {columns: {Carer: carer, Veteran: veteran, Disabled: disabled}, reference: Carer}
  race: {probabilities: {Asian: p_asian, Black: p_black, White: p_white}, reference: White}
fairness: {discovery: none, replicates: 2000}
rules:
  - {id: F1, measure: fairness.selection_rate_difference, on: sex, op: ">=", threshold: -0.3, severity: low, because: T}
  - {id: M1, measure: fairness.impact_ratio, on: traits, op: ">=", threshold: 0.5, severity: high, because: Test}
  - {id: M2, measure: fairness.impact_ratio, on: race, op: ">=", threshold: 0.5, severity: high, because: Test}
  - {id: M3, measure: fairness.selection_rate_difference, on: race, op: ">=", threshold: -1, severity: low, because: T}
  - {id: M4, measure: fairness.tpr_ratio, on: race, op: ">=", threshold: 0.1, severity: low, because: T}
report: {formats: [html, json]}
seed: 3
"""


def frame(*, rows: int = 1500, seed: int = 0, repeats: bool = True) -> pd.DataFrame:
    """Records of which 30 have no trait told and 25 no probability; every fourth person has two records."""
    rng = np.random.default_rng(seed)
    member = rng.random((rows, 3)) < np.array([0.5, 0.35, 0.3])
    member[~member.any(axis=1), 0] = True
    probability = rng.dirichlet([1.0, 2.0, 4.0], rows).round(7)
    probability[:, 2] = 1 - probability[:, :2].sum(axis=1)
    paid = rng.random(rows) < 0.55
    level = 0.25 + 0.35 * paid + 0.12 * member[:, 0] - 0.1 * member[:, 2] + 0.15 * probability[:, 2]
    person = np.arange(rows)
    if repeats:
        # Nobody's traits or probabilities differ between the records of one person.
        person[1::8] = person[::8]
        member[1::8], probability[1::8] = member[::8], probability[::8]
    table = pd.DataFrame({
        "id": [f"record-{k:05d}" for k in range(rows)], "person": [f"person-{k:05d}" for k in person],
        "paid": paid.astype(int), "approved": (rng.random(rows) < level).astype(int),
        "sex": np.where(rng.random(rows) < 0.5, "F", "M"),
        "traits": ["|".join(name for name, own in zip(TRAITS, row, strict=True) if own) for row in member],
        "carer": np.where(member[:, 0], "yes", "no"), "veteran": np.where(member[:, 1], "yes", "no"),
        "disabled": np.where(member[:, 2], "yes", "no"), "p_asian": probability[:, 0],
        "p_black": probability[:, 1], "p_white": probability[:, 2].round(9),
    })  # fmt: skip
    missing = slice(rows - 30, rows)
    table.loc[table.index[missing], "traits"] = np.nan
    table.loc[table.index[missing], "carer"] = "refused"
    table.loc[table.index[rows - 25 :], "p_black"] = np.nan
    return table


def write(folder: Path, table: pd.DataFrame, policy: str = POLICY) -> Path:
    """The data and the policy in a folder."""
    table.to_csv(folder / "decisions.csv", index=False)
    path = folder / "policy.yaml"
    path.write_text(policy, encoding="utf-8")
    return path
