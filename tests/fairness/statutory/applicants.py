"""Invented applicants for `tests/policies/good/hiring.yaml`: scores in whole hundredths, so that some tie."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

POLICY = Path(__file__).resolve().parents[2] / "policies" / "good" / "hiring.yaml"
SHARES = {"Hispanic": 0.25, "White": 0.38, "Black": 0.2, "Asian": 0.13, "Two or more": 0.01, "not said": 0.03}


def applicants(n: int = 3_000, seed: int = 7) -> pd.DataFrame:
    """Score, label and membership of every applicant; some of unknown sex or ethnicity."""
    generator = np.random.default_rng(seed)
    ethnicity = generator.choice(list(SHARES), size=n, p=list(SHARES.values()))
    sex = generator.choice(["Female", "Male", "X"], size=n, p=[0.46, 0.52, 0.02])
    lift = np.where(ethnicity == "Hispanic", -0.15, 0.0) + np.where(sex == "Male", 0.1, 0.0)
    score = np.clip(generator.normal(0.55 + lift, 0.2), 0.01, 0.99).round(2)
    suited = (generator.random(n) < 0.3 + 0.4 * score).astype(int)
    return pd.DataFrame({"sex": sex, "ethnicity": ethnicity, "score": score, "suited": suited})


def lay_out(folder: Path, **changes: str) -> Path:
    """The policy and its data in a folder; `changes` are replaced in the policy's text, each of which must occur."""
    applicants().to_csv(folder / "applicants.csv", index=False)
    path = Path(shutil.copy(POLICY, folder))
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path
