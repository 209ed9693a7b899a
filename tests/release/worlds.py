"""A small lender whose releases are watched: its policy, its runs, and every set of persons that a release counts."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auditkit.ledger.released import KEY, earlier
from auditkit.release.cells import Cells
from auditkit.run import Run, run
from tests.bank.lender import write_lender

DAY = date(2026, 11, 23)


def lender(folder: Path, *, formats: str = "[json]", more: str = "") -> Path:
    """The small lender; without retrained models, because none is needed to count persons."""
    policy = write_lender(folder, privacy="{bank: none" + more + "}")
    text = policy.read_text("utf-8")
    policy.write_text(text.replace("{minimum-cell: 10}", f"{{minimum-cell: 10, formats: {formats}}}"), "utf-8")
    return policy


def release(policy: Path, out: Path, day: date = DAY) -> Run:
    return run(policy, out=out, as_of=day)


def without(policy: Path, split: str, rows: list[int]) -> None:
    """Delete rows of one split."""
    file = policy.parent / f"{split}.csv"
    pd.read_csv(file, dtype=str, keep_default_na=False).drop(index=rows).to_csv(file, index=False)


def published(out: Path, policy: Path) -> dict[str, Cells]:
    """What each release counts, by run id."""
    key = (out / ".ledger" / policy.stem / KEY).read_bytes()
    return earlier(out / policy.stem, key=key, but="")


def document(found: Run) -> dict[str, Any]:
    return json.loads((found.folder / "public" / "audit.json").read_text("utf-8"))


def numbers(value: object) -> np.ndarray:
    """Every number of a document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return np.concatenate([np.empty(0), *(numbers(inner) for inner in value)])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return np.array([float(value)])
    return np.empty(0)
