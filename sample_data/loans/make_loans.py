"""Make the invented loan book of the sample lender, with faults planted in it and the key to them.

``python sample_data/loans/make_loans.py --seed 7 --out DIR`` writes the five CSV files; without arguments it
rewrites the committed ones, byte for byte. ``make(seed)`` gives the same tables in memory. README.md beside
this file tells what the columns mean and what is planted; everything in it is invented.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SEED: Final = 7
SIZES: Final = {"train": 4000, "reserve": 4000, "evaluation": 2000}
FIRST_DAY, LAST_DAY = "2024-01-01", "2025-12-31"
DESK: Final = "workplace desk"
FALSIFIED_BRANCHES: Final = ("Harbour Street", "Mill Lane")
FALSIFIED, MISLABELLED, RARE, PAIRS = 150, 30, 20, 15
ROUNDING: Final = {"income": 10, "existing_debt": 10, "amount": 50, "months_employed": 1, "age": 1}
COLUMNS: Final = [
    "application_id", "applicant_id", "application_date", "branch", "region", "channel", "purpose", "amount",
    "term_months", "income", "existing_debt", "employment", "sector", "months_employed", "housing",
    "prior_defaults", "sex", "age", "ethnicity", "repaid",
]  # fmt: skip
KEY_COLUMNS: Final = ["application_id", "kind", "pair", "true_repaid", "recorded_repaid"]

_world = tomllib.loads(Path(__file__).with_name("world.toml").read_text(encoding="utf-8"))
WORLD: Final = {name: pd.DataFrame.from_dict(rows, orient="index") for name, rows in _world.items()}


class Loans(NamedTuple):
    """The book: three splits without a person in common, and the keys to what was planted in two of them."""

    train: pd.DataFrame
    reserve: pd.DataFrame
    evaluation: pd.DataFrame
    answer_key: pd.DataFrame
    reserve_key: pd.DataFrame


def _draw(rng: np.random.Generator, table: str, weights: NDArray[np.float64]) -> NDArray[np.object_]:
    """One row name of a world table for each row of an (n, rows of the table) array of weights."""
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    at = (rng.random((len(weights), 1)) > edges[:, :-1]).sum(axis=1)
    return np.asarray(WORLD[table].index.to_numpy(dtype=object)[at])


def _weights(table: str, women: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The (n, rows of the table) array of weights that fits each person's sex."""
    both = WORLD[table]
    return np.where(women[:, None], both["women"].to_numpy(), both["men"].to_numpy())


def _look_up(names: pd.Series, table: str, column: str) -> NDArray[np.float64]:
    """A column of a world table for each name; NaN where the name is missing."""
    return names.map(WORLD[table][column]).to_numpy(dtype=float)


def _people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """What stays with an applicant: branch, sex, age, ethnicity, work, home and a hidden carefulness."""
    shares = WORLD["branches"]["share"].to_numpy(dtype=float)
    branch = _draw(rng, "branches", np.tile(shares, (n, 1)))
    there = WORLD["branches"].loc[list(branch)]
    women = rng.random(n) < there["women"].to_numpy()
    age = np.clip(18 + rng.gamma(2.6, 9.5, n), 18, 88)
    ethnicity = _draw(rng, "ethnicities", WORLD["ethnicities"][there["region"]].to_numpy().T)
    sectors = _weights("sectors", women)
    # Both planted branches stand beside a hospital: care work is commoner among the women who apply there.
    sectors[women & np.isin(branch, FALSIFIED_BRANCHES), 0] += 0.5
    sector = _draw(rng, "sectors", sectors)
    employment = _draw(rng, "employments", _weights("employments", women))
    employment = np.where(age > rng.normal(65, 2.0, n), "retired", employment)
    idle = np.isin(employment, ["retired", "unemployed"])
    owns = 1 / (1 + np.exp(-(age - 46) / 9))
    homes = [0.55 - 0.3 * owns, 0.12 + 0.3 * owns, 0.02 + 0.4 * owns**2, np.where(age < 30, 0.35, 0.03)]
    at_desk = ~idle & (rng.random(n) < np.where(women, there["desk"].to_numpy(), 0.02))
    return pd.DataFrame({
        "branch": branch, "region": there["region"].to_numpy(), "sex": np.where(women, "female", "male"),
        "age": age, "ethnicity": ethnicity, "sector": pd.Series(sector).mask(idle), "employment": employment,
        "housing": _draw(rng, "housing", np.stack(homes, axis=1)), "at_desk": at_desk,
        "care": rng.normal(0, 1, n) + 0.3 * women,
    })  # fmt: skip


def _money(rng: np.random.Generator, people: pd.DataFrame) -> pd.DataFrame:
    """Add income, months in the present job, present debts and earlier defaults, all tied to the person."""
    n, care = len(people), people["care"].to_numpy()
    years = np.clip(people["age"].to_numpy() - 18, 0, 45)
    median = np.nan_to_num(_look_up(people["sector"], "sectors", "income"), nan=27_000)
    income = median * _look_up(people["employment"], "employments", "income") * rng.lognormal(0, 0.27, n)
    income *= (0.75 + 0.016 * np.minimum(years, 25)) * np.where(people["sex"] == "female", 0.84, 1.0)
    months = np.minimum(rng.exponential(20 + 2.2 * years), years * 12)
    months *= people["employment"].map({"temporary": 0.3, "retired": 0, "unemployed": 0}).fillna(1.0)
    debt = income * rng.gamma(1.1, 0.16, n) * np.exp(-0.25 * care)
    defaults = np.minimum(rng.poisson(0.22 * np.exp(-0.8 * care)), 4)
    return people.assign(income=income, months_employed=months, existing_debt=debt, prior_defaults=defaults)


def _applications(rng: np.random.Generator, people: pd.DataFrame) -> pd.DataFrame:
    """Add date, channel, purpose, amount and term; a later application sees the person older."""
    n, women = len(people), (people["sex"] == "female").to_numpy()
    day = rng.integers(0, len(pd.date_range(FIRST_DAY, LAST_DAY)), n)
    purpose = _draw(rng, "purposes", _weights("purposes", women))
    channel = _draw(rng, "channels", np.tile(WORLD["channels"]["share"].to_numpy(), (n, 1)))
    channel = np.where(people["at_desk"] & (rng.random(n) < 0.95), DESK, channel)
    income = people["income"].to_numpy() * rng.lognormal(0, 0.03, n)
    median = _look_up(pd.Series(purpose), "purposes", "amount")
    amount = np.clip(median * np.sqrt(income / 30_000) * rng.lognormal(0, 0.5, n), 500, 40_000)
    wish = np.rint(np.clip(np.log2(amount / 1_500) + rng.normal(0, 0.8, n), 0, 5)).astype(int)
    months = people["months_employed"].to_numpy()
    return people.assign(
        application_date=np.datetime64(FIRST_DAY) + day, purpose=purpose, channel=channel, amount=amount,
        term_months=np.array([12, 24, 36, 48, 60, 84])[wish], income=income,
        age=people["age"] + day / 365.25, months_employed=months + np.where(months > 0, day / 30.4, 0),
    )  # fmt: skip


def _outcome(rng: np.random.Generator, frame: pd.DataFrame) -> NDArray[np.int64]:
    """Whether the loan is repaid: money, work and carefulness decide; sex and ethnicity do not enter."""
    yearly = 12 * frame["amount"] / frame["term_months"] + 0.35 * frame["existing_debt"]
    logit = (
        1.7
        + 1.7 * np.log(frame["income"] / 28_000)
        - 3.5 * yearly / frame["income"]
        - 1.0 * frame["prior_defaults"]
        + 0.45 * np.log1p(frame["months_employed"] / 24)
        + 0.35 * frame["care"]
    ).to_numpy(dtype=float)
    tables = {"employment": "employments", "housing": "housing", "purpose": "purposes", "channel": "channels"}
    for column, table in tables.items():
        logit = logit + _look_up(frame[column], table, "logit")
    return np.asarray(rng.random(len(frame)) < 1 / (1 + np.exp(-logit)), dtype=np.int64)


def _book(rng: np.random.Generator, split: str, size: int) -> pd.DataFrame:
    """One split: whole persons, one in eight with two or three applications, rounded and with gaps."""
    counts = rng.choice([1, 2, 3], size, p=[0.88, 0.1, 0.02])
    person = np.repeat(np.arange(size), counts)[:size]
    people = _money(rng, _people(rng, size)).iloc[person].reset_index(drop=True)
    frame = _applications(rng, people).assign(person=[f"{split}-{i}" for i in person], split=split)
    repaid = _outcome(rng, frame)
    for column, step in ROUNDING.items():
        frame[column] = (np.floor(frame[column] / step) * step).astype("Int64")
    self_employed = (frame["employment"] == "self-employed").to_numpy()
    frame["income"] = frame["income"].mask(rng.random(size) < np.where(self_employed, 0.12, 0.02))
    for column, share in {"months_employed": 0.05, "existing_debt": 0.07, "sector": 0.02}.items():
        frame[column] = frame[column].mask(rng.random(size) < share)
    frame["sex"] = frame["sex"].mask(rng.random(size) < 0.015, "U")
    return frame.assign(repaid=repaid, true_repaid=repaid, kind=None, pair=None)


def _pick(
    rng: np.random.Generator, frame: pd.DataFrame, where: pd.Series | NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """Positions of n rows drawn from those where the mask holds and nothing is planted yet."""
    free = np.flatnonzero(np.asarray(where) & frame["kind"].isna().to_numpy())
    return np.sort(rng.choice(free, n, replace=False))


def _plant_rare(rng: np.random.Generator, frame: pd.DataFrame) -> None:
    """Rewrite some rows into loans for a purpose that nobody else has, with an outcome against the odds."""
    alone = ~frame["person"].duplicated(keep=False) & ~frame["branch"].isin(FALSIFIED_BRANCHES)
    rarities = WORLD["rarities"]["repaid"].items()
    for row, (purpose, repaid) in zip(_pick(rng, frame, alone, RARE), rarities, strict=True):
        poor = repaid == 1
        money = {
            "income": 10 * (rng.integers(900, 1_300) if poor else rng.integers(7_500, 11_000)),
            "amount": 50 * (rng.integers(400, 600) if poor else rng.integers(20, 80)),
            "existing_debt": 10 * (rng.integers(600, 900) if poor else rng.integers(0, 60)),
            "prior_defaults": rng.integers(2, 4) if poor else 0,
        }
        planted = money | {"purpose": purpose, "repaid": repaid, "true_repaid": repaid, "kind": "rare"}
        for column, value in planted.items():
            frame.loc[row, column] = value


def _plant_pairs(rng: np.random.Generator, frame: pd.DataFrame) -> None:
    """Replace some rows by near copies of others: another applicant on paper, sums a few steps apart."""
    alone = ~frame["person"].duplicated(keep=False)
    complete = alone & frame[["income", "existing_debt", "months_employed"]].notna().all(axis=1)
    rows = rng.permutation(_pick(rng, frame, complete, 2 * PAIRS)).reshape(PAIRS, 2)
    copied = [c for c in frame.columns if c not in ("person", "split", "kind", "pair")]
    for number, (first, second) in enumerate(rows, start=1):
        frame.loc[second, copied] = frame.loc[first, copied]
        frame.loc[second, "income"] += 10 * int(rng.integers(1, 6))
        frame.loc[second, "existing_debt"] += 10 * int(rng.integers(0, 3))
        later = frame.loc[first, "application_date"] + np.timedelta64(int(rng.integers(1, 4)), "D")
        frame.loc[second, "application_date"] = min(later, np.datetime64(LAST_DAY))
        frame.loc[[first, second], "kind"] = "near-duplicate"
        frame.loc[[first, second], "pair"] = f"pair-{number:02d}"


def _falsify(rng: np.random.Generator, frame: pd.DataFrame) -> None:
    """Record women who repaid at the desks of two branches as not repaid; flip some labels elsewhere."""
    branches = frame["branch"].isin(FALSIFIED_BRANCHES)
    desk = branches & (frame["channel"] == DESK) & (frame["sex"] == "female") & (frame["repaid"] == 1)
    for kind, where, n in (("falsified", desk, FALSIFIED), ("mislabelled", ~branches, MISLABELLED)):
        rows = _pick(rng, frame, where, n)
        frame.loc[rows, "kind"] = kind
        frame.loc[rows, "repaid"] = 1 - frame.loc[rows, "repaid"]


def _number(rng: np.random.Generator, book: pd.DataFrame) -> pd.DataFrame:
    """Application ids in order of date, applicant ids without order; neither tells the split."""
    book = book.sort_values("application_date", kind="stable").reset_index(drop=True)
    persons = book["person"].unique()
    names = dict(zip(persons, rng.permutation(len(persons)) + 20_001, strict=True))
    return book.assign(
        application_id=[f"A-{i}" for i in range(10_001, 10_001 + len(book))],
        applicant_id=[f"P-{names[person]}" for person in book["person"]],
        application_date=book["application_date"].dt.strftime("%Y-%m-%d"),
        recorded_repaid=book["repaid"],
    )


def make(seed: int = SEED) -> Loans:
    """The whole book for one seed; the same seed gives the same tables."""
    rng = np.random.default_rng(seed)
    books = {split: _book(rng, split, size) for split, size in SIZES.items()}
    _plant_rare(rng, books["train"])
    _plant_pairs(rng, books["train"])
    for split in ("train", "reserve"):
        _falsify(rng, books[split])
    book = _number(rng, pd.concat(books.values(), ignore_index=True))
    train, reserve, evaluation = (book[book["split"] == split] for split in SIZES)
    keys = [part[part["kind"].notna()].sort_values(["kind", "pair", "application_id"])[KEY_COLUMNS]
            for part in (train, reserve)]  # fmt: skip
    tables = [part[COLUMNS] for part in (train, reserve, evaluation)]
    return Loans(*(frame.reset_index(drop=True) for frame in tables + keys))


def main() -> None:
    """Write the five tables of one seed as CSV."""
    parser = argparse.ArgumentParser(description="Make the invented loan book of the sample lender.")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the generator (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder (default: this one)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, frame in make(arguments.seed)._asdict().items():
        frame.to_csv(arguments.out / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
