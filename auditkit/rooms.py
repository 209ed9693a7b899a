"""What each assessing room is handed, and by which of the policy's settings: one function a room.

The rooms know neither the policy file nor each other; `pipeline` says in which order they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditkit import kept
from auditkit.bank import fit as bank_room
from auditkit.bank.types import Bank, Kind
from auditkit.fairness import assess as fairness_room
from auditkit.fairness.control import controls
from auditkit.fairness.discovery.discover import discover, outcomes_of, person_codes
from auditkit.fairness.proxies import proxies
from auditkit.fairness.statutory import assess as statutory_room
from auditkit.influence import assess as influence_room
from auditkit.pieces import Keep
from auditkit.policy.schema import Policy
from auditkit.privacy import assess as privacy_room
from auditkit.privacy.membership import Retrained
from auditkit.processes import Processes
from auditkit.result import Discovery, FairnessPart, InfluencePart, PrivacyPart, StatutoryPart
from auditkit.subject.types import Floats, Grouping, Predictions, Slice, Split, Subject, Table


def fairness(
    policy: Policy, table: Table, predictions: Predictions, generator: np.random.Generator, *, features: Sequence[str]
) -> tuple[FairnessPart, dict[str, NDArray[Any]]]:
    """Group statistics of the evaluation rows, the slices that nobody named, and the half that was searched."""
    rows = table.rows("evaluation")
    # Recorded decisions come without a model: what it read is then what the policy lists.
    read = list(features) or [*policy.data.numeric, *policy.data.categorical]
    part = fairness_room.assess(
        groupings=_groupings(table, "evaluation"),
        predictions=predictions,
        persons=None if table.persons is None else table.persons[rows],
        settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
        controls=controls(
            policy.fairness.control, frame=table.frame.iloc[rows], groupings=_groupings(table, "evaluation")
        ),
    )
    if policy.fairness.discovery == "none" or part.status != "assessed":
        return part, {}
    for_slices, for_proxies = generator.spawn(2)
    found, restricted = _discovery(policy, table, predictions, for_slices, features=read)
    near, folds = proxies(
        table.frame.iloc[rows][read],
        _groupings(table, "evaluation"),
        numeric=policy.data.numeric or None,
        columns={name: (rule.column,) for name, rule in policy.protected.items()},
        persons=None if table.persons is None else person_codes(table.persons[rows]),
        level=policy.fairness.level,
        minimum_group=policy.fairness.minimum_group,
        generator=for_proxies,
    )
    return part.model_copy(update={"discovery": found, "proxies": near}), restricted | folds


def _discovery(
    policy: Policy, table: Table, predictions: Predictions, generator: np.random.Generator, *, features: Sequence[str]
) -> tuple[Discovery, dict[str, NDArray[Any]]]:
    """Slices over what the model reads and the protected columns."""
    rows = table.rows("evaluation")
    protected = [rule.column for rule in policy.protected.values()]
    binned = [rule.column for rule in policy.protected.values() if rule.bins is not None]
    return discover(
        table.frame.iloc[rows][list(dict.fromkeys([*features, *protected]))],
        outcomes_of(predictions.truth, predictions.decision),
        numeric=[*policy.data.numeric, *binned] if policy.data.numeric else None,
        persons=None if table.persons is None else person_codes(table.persons[rows]),
        level=policy.fairness.level,
        false_discovery=policy.fairness.false_discovery,
        minimum_group=policy.fairness.minimum_group,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
    )


def statutory(policy: Policy, table: Table, predictions: Predictions, part: FairnessPart) -> StatutoryPart | None:
    """Tables in a law's own layout, where the policy names a rule set that has them."""
    rows = table.rows("evaluation")
    return statutory_room.assess(
        frameworks=policy.frameworks, settings=policy.statutory, intersections=policy.intersections, part=part,
        groupings=_groupings(table, "evaluation"), predictions=predictions,
        persons=None if table.persons is None else table.persons[rows], fairness=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
    )  # fmt: skip


def bank(
    policy: Policy, subject: Subject, table: Table, *, kind: Kind, generator: np.random.Generator, keep: Keep
) -> tuple[Bank | None, str]:
    """Retrained models, or None and why: halves of the training rows for influence, of the pool for membership."""
    if policy.privacy.bank == "none":
        return None, "the policy asks for no retrained models (privacy.bank: none)"
    if kind == "train-halves" and subject.gradient is None:
        return None, "influence cannot be computed for this model"
    if kind == "pool-halves":
        return bank_room.make(subject, table, kind=kind, wanted="auto", generator=generator, keep=keep)
    return bank_room.make(
        subject, table, wanted=policy.influence.fidelity_models, generator=generator, keep=keep,
        fitting=_fitting(policy),
    )  # fmt: skip


def _fitting(policy: Policy) -> bank_room.Fitting:
    """What models beside those that measure fidelity are for."""
    if policy.influence.estimator == "ensemble":
        return "members"
    chosen = policy.influence.damping == "auto" and policy.influence.estimator != "tracin"
    return "damping" if chosen else "none"


def influence(
    policy: Policy, subject: Subject, table: Table, slices: tuple[Slice, ...], *, bank: Bank | None, no_bank: str,
    keep: Keep, processes: Processes,
) -> tuple[InfluencePart, influence_room.InfluenceArrays | None]:  # fmt: skip
    """What the treatment of slices rests on, as it was kept or as it is computed now."""
    stated = policy.influence
    settings = influence_room.Settings(
        estimator=stated.estimator, damping=stated.damping, compare=stated.compare,
        minimum_cell=policy.report.minimum_cell, minimum_group=policy.fairness.minimum_group,
        level=policy.fairness.level, fidelity_floor=stated.fidelity_floor,
    )  # fmt: skip

    def assess() -> tuple[InfluencePart, influence_room.InfluenceArrays | None]:
        return influence_room.assess(
            subject, table, slices, settings, bank=bank, no_bank=no_bank, keep=keep, processes=processes
        )

    return kept.influence(keep, processes, assess)


def privacy(
    policy: Policy,
    subject: Subject,
    table: Table,
    predictions: Predictions,
    *,
    scores: influence_room.InfluenceArrays | None,
    no_scores: str,
    retrained: Retrained | None,
    no_retrained: str,
    generator: np.random.Generator,
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    """What the model gives away about membership, and the restricted arrays behind it."""
    train = table.rows("train")
    splits: tuple[Split, ...] = ("train", "reserve", "evaluation")
    present = [split for split in splits if len(table.rows(split))]
    features = list(subject.features)
    decisions: Floats | None = None
    if len(train) and subject.score is not None:
        decisions = subject.decide(table.frame.iloc[train])
    return privacy_room.assess(
        predictions=predictions,
        train_labels=table.label[train] if len(train) else None,
        train_decisions=decisions,
        features={split: table.frame.iloc[table.rows(split)][features] for split in present} if features else {},
        numeric=policy.data.numeric or None,
        persons=None if table.persons is None else {split: table.persons[table.rows(split)] for split in present},
        groupings=_groupings(table, "train"),
        self_influence=None if scores is None else scores.self_influence,
        no_self_influence=no_scores,
        settings=policy.privacy,
        deployment=policy.deployment,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
        level=policy.fairness.level,
        retrained=retrained,
        no_retrained=no_retrained,
    )


def retrained(table: Table, pool: Bank | None) -> Retrained | None:
    """The pool's models as the privacy room reads them: training rows first, then the reserve."""
    if pool is None:
        return None
    at = np.searchsorted(pool.plan.rows, np.concatenate([table.rows("train"), table.rows("reserve")]))
    return Retrained(margin=pool.margin_pool[:, at], inside=pool.plan.masks[:, at])


def _groupings(table: Table, split: Split) -> dict[str, Grouping]:
    """Membership restricted to one split's rows."""
    rows = table.rows(split)
    return {name: replace(grouping, codes=grouping.codes[rows]) for name, grouping in table.groupings.items()}
