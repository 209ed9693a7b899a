"""The raw files of one policy read again with pandas alone: columns, labels, groups, and every count on reading."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from ruamel.yaml import YAML

from tests.policies.real.claims import Says
from tests.policies.real.recompute_rates import MINIMUM_CELL, wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
SPLITS = ("train", "reserve", "evaluation")
PLAIN = r"-?(?:0|[1-9]\d*)(?:\.\d+)?"

# What the policies leave at its default; everything else is read from the policy file.
LEVEL, REPLICATES, MINIMUM_GROUP, MINIMUM_DENOMINATOR = 0.95, 10_000, 30, 10
FALSE_POSITIVE_RATES, NEAR_DUPLICATE, THRESHOLD, SEED, FIDELITY_FLOOR = (0.001, 0.01, 0.1), 0.05, 0.5, 0, 0.3


@dataclass(frozen=True)
class Attribute:
    """Membership of one protected attribute: codes by split, -1 where it is not known."""

    name: str
    column: str
    labels: tuple[str, ...]
    reference: str
    codes: dict[str, Ints]

    @property
    def base(self) -> int:
        """Position of the reference."""
        return self.labels.index(self.reference)


@dataclass(frozen=True)
class World:
    """One policy and its files."""

    name: str
    folder: Path
    policy: dict[str, Any] = field(repr=False)
    frames: dict[str, pd.DataFrame] = field(repr=False)
    """Split -> rows; a column is numeric where every known cell of every split plainly writes a number."""

    @property
    def has_model(self) -> bool:
        """Whether there is a model to ask, or recorded decisions only."""
        return self.policy["model"]["adapter"] != "predictions"

    @property
    def threshold(self) -> float:
        """Score from which a decision is favourable."""
        return float(self.policy["model"].get("threshold", THRESHOLD))

    def label(self, split: str) -> Floats:
        """1.0 where the label is the favourable one."""
        stated = self.policy["data"]["label"]
        return (self.frames[split][stated["column"]].astype(str) == str(stated["favourable"])).to_numpy(dtype=float)

    @cached_property
    def numeric(self) -> list[str]:
        """The model's numeric columns, as the policy lists them."""
        return list(self.policy["data"].get("numeric", []))

    @cached_property
    def categorical(self) -> list[str]:
        """The model's categorical columns, as the policy lists them."""
        return list(self.policy["data"].get("categorical", []))

    @cached_property
    def features(self) -> list[str]:
        """Columns by which records are compared: the stated ones, else all but key and label."""
        data = self.policy["data"]
        left_out = {data["label"]["column"], data.get("id")}
        every = [column for column in self.frames["evaluation"].columns if column not in left_out]
        return [*self.numeric, *self.categorical] or every

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """Every protected attribute, in the policy's order."""
        return tuple(self._attribute(name, rule) for name, rule in self.policy["protected"].items())

    def _attribute(self, name: str, rule: dict[str, Any]) -> Attribute:
        cells = {split: frame[rule["column"]] for split, frame in self.frames.items()}
        if "bins" in rule:
            edges = [float(edge) for edge in rule["bins"]]
            labels = tuple(
                f"{low:g}+" if high == np.inf else f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)
            )
            codes = {
                split: pd.cut(pd.to_numeric(values), edges, right=False, labels=False).fillna(-1).to_numpy(dtype=int)
                for split, values in cells.items()
            }
        else:
            met = sorted(set(pd.concat(list(cells.values())).dropna().astype(str)))
            labels = tuple(str(group) for group in rule.get("groups", met))
            codes = {split: pd.Index(labels).get_indexer(values.astype(str)) for split, values in cells.items()}
        return Attribute(name, rule["column"], labels, str(rule["reference"]), codes)


def read_world(name: str, policy: Path) -> World:
    """Read the policy and the files that it names."""
    stated = YAML(typ="safe", pure=True).load(policy.read_text("utf-8"))
    data = stated["data"]
    raw = {split: _read(policy.parent / data[split], data.get("missing", [])) for split in SPLITS if split in data}
    together = pd.concat(list(raw.values()), ignore_index=True)
    plain = [c for c in together.columns if _is_plain(together[c])]
    frames = {split: frame.assign(**{c: pd.to_numeric(frame[c]) for c in plain}) for split, frame in raw.items()}
    return World(name, policy.parent, stated, frames)


def _read(path: Path, missing: list[str]) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["", *missing])


def _is_plain(column: pd.Series) -> bool:
    known = column.dropna()
    return bool(len(known)) and isinstance(known.iloc[0], str) and bool(known.str.fullmatch(PLAIN).all())


def few(count: int) -> Says:
    """A count in words: below the minimum cell only that it is."""
    return Says(count) if count == 0 or count >= MINIMUM_CELL else Says(MINIMUM_CELL)


def expected_data(world: World) -> dict[str, Any]:
    """The part `data`: sizes, favourable shares with Wilson's interval, missing cells and every count on reading."""
    splits = []
    for split, frame in world.frames.items():
        label = world.label(split)
        share = wilson(int(label.sum()), len(label), LEVEL)
        missing = int(_without_repeats(frame).isna().to_numpy().sum())
        splits.append(
            {"split": split, "n": len(frame), "persons": None, "favourable_share": share,
             "missing_cells": None if 0 < missing < MINIMUM_CELL else missing}
        )  # fmt: skip
    checks = [{"name": name, "value": few(count)} for name, count in _checks(world).items()]
    return {"splits": splits, "checks": checks, "label_means": world.policy["data"]["label"]["means"]}


def _without_repeats(frame: pd.DataFrame) -> pd.DataFrame:
    """A repeated header `x` is read by pandas as `x.1`; the report counts its cells once."""
    again = [c for c in frame.columns if re.fullmatch(r".+\.\d+", c) and c.rsplit(".", 1)[0] in frame.columns]
    return frame.drop(columns=again)


def _checks(world: World) -> dict[str, int]:
    """Everything counted on reading, in the order in which the report lists it."""
    features = [c for c in world.features if c in _without_repeats(world.frames["evaluation"]).columns]
    rows = {split: pd.MultiIndex.from_frame(frame[features].astype(object).fillna("∅"))
            for split, frame in world.frames.items()}  # fmt: skip
    found = {}
    for later, earlier in (("evaluation", "train"), ("reserve", "train"), ("evaluation", "reserve")):
        if later in rows and earlier in rows:
            found[f"identical rows, {later}/{earlier}"] = int(rows[later].isin(rows[earlier]).sum())
    for split, keys in rows.items():
        found[f"repeated rows, {split}"] = int(keys.duplicated().sum())
    for attribute in world.attributes:
        found[f"unknown {attribute.name}"] = int((attribute.codes["evaluation"] < 0).sum())
    dropped = world.frames["evaluation"].shape[1] - _without_repeats(world.frames["evaluation"]).shape[1]
    if dropped:
        found["repeated columns"] = dropped
    return found | _unfamiliar(world)


def _unfamiliar(world: World) -> dict[str, int]:
    """Levels and gaps that the training rows of a tabular model never held."""
    found = {}
    train = world.frames.get("train")
    for split in ("reserve", "evaluation") if train is not None else ():
        frame = world.frames[split]
        for column in world.numeric:
            count = int(frame[column].isna().sum())
            if count and not train[column].isna().any():
                found[f"missing {column}, {split}"] = count
        for column in world.categorical:
            count = int((frame[column].notna() & ~frame[column].isin(train[column].dropna().unique())).sum())
            if count:
                found[f"unseen {column}, {split}"] = count
    return found
