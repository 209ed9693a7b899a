"""Small lenders with their retrained models, for the remedies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from auditkit import rooms
from auditkit.bank.fit import make
from auditkit.bank.types import Bank
from auditkit.policy.remedies import RemedySettings
from auditkit.preflight import Prepared, prepare
from auditkit.result import Change, RemediesPart, Remedy
from auditkit.run import train
from auditkit.subject.predict import predict
from auditkit.subject.types import Ints, Mask
from tests.bank.lender import LOANS, POLICY

SIZES = {"train": 300, "reserve": 300, "evaluation": 1000}
RULES = """
  - {id: F1, measure: fairness.impact_ratio, on: sex, op: ">=", threshold: 0.8, severity: low, because: A test}
  - {id: F2, measure: fairness.tpr_difference, on: sex, op: ">=", threshold: -0.1, severity: low, because: A test}
"""


@dataclass(frozen=True)
class Lender:
    prepared: Prepared
    bank: Bank

    def tried(
        self, *entries: object, exposed: Mask | None = None, clusters: Ints | None = None, seed: int = 5
    ) -> RemediesPart:
        policy = self.prepared.policy.model_copy(
            update={"remedies": RemedySettings.model_validate({"try": list(entries)})}
        )
        given = {"exposed_flag": exposed, "duplicate_cluster": clusters}
        return rooms.remedies(
            policy, self.prepared.subject, self.prepared.table, predict(self.prepared.subject, self.prepared.table),
            pool=self.bank, no_pool="", arrays={name: array for name, array in given.items() if array is not None},
            generator=np.random.default_rng(seed),
        )  # fmt: skip


def lender(
    folder: Path, *, training: str = "{module: logistic, l2: 0.001}", twins: int = 0, models: int = 48
) -> Lender:
    """A lender; with `twins`, so many pairs of training records whose branch nobody else has, both not repaid."""
    for split, count in SIZES.items():
        frame = pd.read_csv(LOANS / f"{split}.csv").head(count)
        frame["applicant_id"] = [f"{split}-{i}" for i in range(len(frame))]
        if split == "train":
            own = np.arange(2 * twins)
            frame.loc[own, "branch"] = [f"own-{i // 2}" for i in own]
            frame.loc[own, "repaid"] = 0
        frame.to_csv(folder / f"{split}.csv", index=False)
    path = folder / "small.yaml"
    text = POLICY.format(training=training, influence="{}", privacy="{risk-threshold: 0.75}")
    path.write_text(text.replace("\nreport:", f"{RULES}report:"), encoding="utf-8")
    train(path)
    prepared = prepare(path)
    bank, why = make(
        prepared.subject, prepared.table, kind="pool-halves", wanted=models, generator=np.random.default_rng(1)
    )
    assert bank is not None, why
    return Lender(prepared, bank)


def change(remedy: Remedy, measure: str, group: str = "") -> Change:
    (found,) = [row for row in remedy.changes if row.measure == measure and row.group == group]
    return found
