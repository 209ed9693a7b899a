"""Attribute inference: is an attribute of a training record guessed better than that of a record never seen?

The attacker knows a record's other features, its label and the model's answers, and learned on half of the reserve how
the attribute goes with the other features. He guesses

- where the model reads the attribute: argmax_v P(v | other features) exp(-loss(x with v, y));
- where it does not: argmax_v P(v | features, y, margin of the model's loss).

Three rates, after anonymeter's triad: the attack on training records, the same attack on the other half of the reserve
(the control, which neither model nor attacker ever saw), and a baseline on the training records without the model,
argmax_v P(v | other features, y). The attack above the control is what having been trained on adds; the attack above
the baseline is what the model adds to anyone's guess, which may be plain statistics of the population.

Sources: Fredrikson et al., USENIX Security 2014, and Mehnaz et al., USENIX Security 2022 (guess by the model's
confidence under each value); Jayaraman & Evans, CCS 2022 (imputation as the baseline); Giomi et al., PoPETs 2023 (main,
control and baseline attack). P is gradient-boosted trees, so that neither an attacker with better statistics nor one
with the model's parameters is ruled out. Where training records and reserve are not of one population, the control
differs without any leak.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from auditkit.bank.margins import margins
from auditkit.privacy.contrasts import beside, difference
from auditkit.privacy.describing import numbers
from auditkit.privacy.disclosure import published_rate, small
from auditkit.result import AttributeInference, Estimate, InferencePart
from auditkit.subject.persons import support
from auditkit.subject.types import UNKNOWN, Floats, Ints, Mask, Split

if TYPE_CHECKING:
    from auditkit.subject.substitution import Guessed

FEWEST: Final = 100
"""Records of the reserve to learn from."""
FEWEST_OF_A_LEVEL: Final = 10
TREES: Final = 15
LEAVES: Final = 8
RATE: Final = 0.2
RULE: Final = (
    "the attacker knows the other features, the label and the model’s answers, and has learned on half of the reserve "
    "how the attribute goes with them. Control: the other half of the reserve. Baseline: the same without the model."
)
NOTHING: Final = "an attack on attributes needs a reserve, the model’s losses and the columns that it reads"


@dataclass(frozen=True)
class Material:
    """What the attacker and the measurement rest on. Rows [P = N + K]: training records, then the reserve."""

    features: Mapping[Split, pd.DataFrame]
    numeric: Collection[str] | None
    labels: Floats
    """[P]"""
    losses: Floats
    """[P] nats."""
    setting: Mask
    """[K] the half of the reserve that the attacker learned on; the other is the control."""
    persons: tuple[Ints | None, Ints | None]
    """[N] and [K]."""


def material(
    features: Mapping[Split, pd.DataFrame],
    labels: tuple[Floats | None, Floats | None],
    losses: tuple[Floats | None, Floats | None],
    *,
    numeric: Collection[str] | None,
    setting: Mask | None,
    persons: tuple[Ints | None, Ints | None],
) -> Material | None:
    """What an attack rests on, from the parts [N] and [K]; None where one is lacking or a label is not known."""
    known = [part for part in (*labels, *losses) if part is not None and np.isfinite(part).all()]
    if len(known) < 4 or setting is None or not {"train", "reserve"} <= set(features):
        return None
    return Material(features, numeric, np.concatenate(known[:2]), np.concatenate(known[2:]), setting, persons)


@dataclass(frozen=True)
class Inferred:
    """The public part, and the guesses behind it."""

    public: InferencePart
    arrays: Mapping[str, NDArray[Any]]
    """Restricted: `infer_<k>_attack` and `infer_<k>_baseline` [P], the level guessed for the k-th attribute."""


def infer(
    asked: Sequence[Guessed], material: Material | None, *, absent: str = NOTHING, level: float, minimum: int
) -> Inferred:
    """Guess every attribute of training records and control, with and without the model.

    Args:
        asked: the attributes and the model's losses under each of their levels.
        material: what is known; None, and `absent` says why no attack was run.
        level: coverage of each interval, not simultaneous. minimum: minimum cell.
    """
    if material is None or not asked:
        return Inferred(InferencePart(status="not-applicable", reason=absent), {})
    rows: list[AttributeInference] = []
    arrays: dict[str, NDArray[Any]] = {}
    for k, one in enumerate(asked):
        row, guesses = _one(one, material, level=level, minimum=minimum)
        rows.append(row)
        arrays |= {f"infer_{k}_{name}": found for name, found in guesses.items()}
    return Inferred(InferencePart(status="assessed", rule=RULE, attributes=tuple(rows)), arrays)


def _one(
    asked: Guessed, material: Material, *, level: float, minimum: int
) -> tuple[AttributeInference, dict[str, Ints]]:
    """One attribute."""
    members = len(material.labels) - len(material.setting)
    fitted = np.append(np.zeros(members, dtype=np.bool_), material.setting) & (asked.codes != UNKNOWN)
    counts = np.bincount(asked.codes[fitted], minlength=len(asked.labels))
    levels = np.flatnonzero(counts >= FEWEST_OF_A_LEVEL)
    if len(levels) < 2 or int(counts[levels].sum()) < FEWEST:
        reason = f"the reserve half to learn from needs {FEWEST} records, {FEWEST_OF_A_LEVEL} each of two levels"
        return AttributeInference(name=asked.name, status="not-applicable", reason=reason), {}
    known = np.isin(asked.codes, levels)
    attack, baseline = guesses(asked, material, fitted & known, levels)
    row = _measured(asked, material, known, (attack, baseline), level=level, minimum=minimum)
    update = {"levels": len(levels), "feature": asked.losses is not None}
    return row.model_copy(update=update), {"attack": attack, "baseline": baseline}


def guesses(asked: Guessed, material: Material, fitted: Mask, levels: Ints) -> tuple[Ints, Ints]:
    """Levels [P] guessed with and without the model; `fitted` [P] is learned from, `levels` are the choices."""
    frames = [material.features["train"], material.features["reserve"]]
    held = pd.concat([frame.drop(columns=[asked.column] if asked.column else []) for frame in frames])
    x, coded = numbers(held, material.numeric) if held.shape[1] else (np.zeros((len(held), 0)), np.zeros(0, np.bool_))

    def learned(*beside: Floats) -> Floats:
        columns, marks = np.column_stack([x, *beside]), np.append(coded, np.zeros(len(beside), np.bool_))
        told = [c for c in range(columns.shape[1]) if len(np.unique(_present(columns[fitted, c]))) > 1]
        return _law(columns[:, told], marks[told], asked.codes, fitted, levels)

    plain = learned(material.labels)
    if asked.losses is None:
        attack = learned(material.labels, margins(material.losses))
    else:
        attack = np.log(learned()) - np.nan_to_num(asked.losses[levels].T, nan=np.inf)
    return levels[np.argmax(attack, axis=1)], levels[np.argmax(plain, axis=1)]


def _law(x: Floats, coded: Mask, codes: Ints, fitted: Mask, levels: Ints) -> Floats:
    """Probabilities [P, V] of the levels given columns [P, F], learned on the rows `fitted`."""
    if not x.shape[1]:
        share = np.bincount(codes[fitted], minlength=int(levels.max()) + 1)[levels] / int(fitted.sum())
        return np.tile(share, (len(x), 1))
    model = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, early_stopping=False, random_state=0,
        categorical_features=coded,
    )  # fmt: skip
    # Small trees: threads would wait for each other far longer than they work.
    with threadpool_limits(limits=1, user_api="openmp"):
        model.fit(x[fitted], codes[fitted])
        found: Floats = np.maximum(np.asarray(model.predict_proba(x), dtype=np.float64), 1e-12)
    return found


def _measured(
    asked: Guessed, material: Material, known: Mask, found: tuple[Ints, Ints], *, level: float, minimum: int
) -> AttributeInference:
    """The rates of one attribute as they may be published."""
    members = len(material.labels) - len(material.setting)
    attack, baseline = (guess == asked.codes for guess in found)
    sides, notes = [], []
    for start, stop, chosen, whose in (
        (0, members, np.ones(members, dtype=np.bool_), material.persons[0]),
        (members, len(known), ~material.setting, material.persons[1]),
    ):
        left = chosen & ~known[start:stop]
        if small(support(left, whose), minimum):
            # A count of those measured would tell how few are left out.
            notes.append(f"Fewer than {minimum} records of unknown or rare value count as not guessed.")
            left = np.zeros(len(left), dtype=np.bool_)
        kept = chosen & ~left
        sides.append((attack[start:stop][kept], baseline[start:stop][kept], None if whose is None else whose[kept]))
    (hit, plain, whose), (other, _, others) = sides
    success = published_rate(hit, whose, level=level, minimum=minimum)
    control = published_rate(other, others, level=level, minimum=minimum)
    without, gain = beside(hit, plain, whose, level=level, minimum=minimum)
    if not success.known:
        gain = Estimate(value=None, level=level, withheld=success.withheld)
    return AttributeInference(
        name=asked.name, status="assessed", members=success, control=control, baseline=without, gain=gain,
        difference=difference(success, control, level), notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _present(values: Floats) -> Floats:
    return values[~np.isnan(values)]
