"""What influence is measured on: the policies' slices, written here in pandas, and the gaps between groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.policies.real.recompute_data import MINIMUM_GROUP, Floats, World
from tests.policies.real.recompute_model import Answers


@dataclass(frozen=True)
class Measure:
    """A slice's mean loss or a gap between mean scores: weights [M] over the evaluation rows."""

    name: str
    kind: str
    n: int
    quantity: str
    weights: Floats


def measures_of(world: World, answers: Answers) -> tuple[Measure, ...]:
    """The policy's slices as this file reads them, then the gaps of groups large enough on both sides."""
    found = []
    for name in world.policy.get("slices", {}):
        members = SLICES[world.name, name](world, answers)
        found.append(Measure(name, "slice", int(members.sum()), "loss", members / members.sum()))
    for attribute in world.attributes:
        codes = attribute.codes["evaluation"]
        base = codes == attribute.base
        for k, label in enumerate(attribute.labels):
            group = codes == k
            n = int(min(group.sum(), base.sum()))
            if k != attribute.base and n >= MINIMUM_GROUP:
                weights = group / group.sum() - base / base.sum()
                name = f"{attribute.name}: {label} minus {attribute.reference}"
                found.append(Measure(name, "gap", n, "score", weights))
    return tuple(found)


def _women_above(world: World, answers: Answers, split: str = "evaluation") -> Any:
    frame = world.frames[split]
    return (frame["sex"] == "Female") & (frame["income"] == ">50K") & (answers.decision[split] == 0)


def _declined(world: World, answers: Answers, split: str = "evaluation") -> Any:
    frame = world.frames[split]
    black = frame["protected_group"] == "Black"
    return (frame["approved"] == 1) & (answers.decision[split] == 0) & black


SLICES = {("adult", "women-above"): _women_above, ("hmda", "declined"): _declined}
