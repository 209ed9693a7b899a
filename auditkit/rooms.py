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
from auditkit.bank.margins import margins
from auditkit.bank.types import Bank
from auditkit.fairness import assess as fairness_room
from auditkit.fairness.control import controls
from auditkit.fairness.discovery.discover import discover, outcomes_of
from auditkit.fairness.membership.room import with_memberships
from auditkit.fairness.outcomes.room import with_outcomes
from auditkit.fairness.proxies import proxies
from auditkit.fairness.statutory import assess as statutory_room
from auditkit.influence import assess as influence_room
from auditkit.pieces import Keep
from auditkit.policy.schema import Policy
from auditkit.privacy import assess as privacy_room
from auditkit.privacy.account import Around
from auditkit.privacy.canaries import plant
from auditkit.privacy.joint import NO_GAPS, Gaps
from auditkit.privacy.learned import gain
from auditkit.privacy.membership import Retrained
from auditkit.privacy.one_run import Planted
from auditkit.privacy.rankings import Traced
from auditkit.privacy.whom import Piece
from auditkit.processes import Processes
from auditkit.remedies import assess as remedies_room
from auditkit.remedies.people import people_of
from auditkit.result import Discovery, FairnessPart, InfluencePart, PrivacyPart, RemediesPart, StatutoryPart
from auditkit.subject import trajectory
from auditkit.subject.persons import person_codes
from auditkit.subject.predict import decide_rows
from auditkit.subject.slices import on_training
from auditkit.subject.substitution import guessed
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
        rules=policy.rules,
        weights=None if policy.data.weight is None else table.weights[rows],
        controls=controls(
            policy.fairness.control, frame=table.frame.iloc[rows], groupings=_groupings(table, "evaluation")
        ),
    )
    # Always spawned, so that naming a membership or an outcome moves no draw of another piece.
    for_slices, for_proxies, for_memberships, for_outcomes = generator.spawn(4)
    part = with_memberships(part, policy, table, predictions, for_memberships)
    part = with_outcomes(part, policy, table, for_outcomes)
    if policy.fairness.discovery == "none" or part.status != "assessed":
        return part, {}
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
        minimum_cell=policy.report.minimum_cell, weighted=policy.data.weight is not None,
    )  # fmt: skip


def influence(
    policy: Policy, subject: Subject, table: Table, slices: tuple[Slice, ...], *, bank: Bank | None, no_bank: str,
    keep: Keep, processes: Processes, retrained: Retrained | None = None, predictions: Predictions | None = None,
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
            subject, table, slices, settings, bank=bank, no_bank=no_bank, gain=_gain(retrained, predictions),
            keep=keep, processes=processes,
        )  # fmt: skip

    return kept.influence(keep, processes, assess)


def _gain(retrained: Retrained | None, predictions: Predictions | None) -> Floats | None:
    """What being learned from would do to the margins of the reserve's records, as far as retrained models tell."""
    if retrained is None or not retrained.reserve or predictions is None:
        return None
    if predictions.loss_train is None or predictions.loss_reserve is None:
        return None
    target = margins(np.concatenate([predictions.loss_train, predictions.loss_reserve]))
    return gain(retrained, target)[len(predictions.loss_train) :]


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
    planted: tuple[Planted | None, str],
    guarded: bool,
    attributed: InfluencePart,
    generator: np.random.Generator,
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    """What the model gives away about membership, and the restricted arrays behind it."""
    train = table.rows("train")
    splits: tuple[Split, ...] = ("train", "reserve", "evaluation")
    present = [split for split in splits if len(table.rows(split))]
    features = list(subject.features)
    decisions: Floats | None = None
    if len(train) and subject.score is not None:
        _, decisions = decide_rows(subject, table, train)
    given = privacy_room.Given(
        predictions=predictions,
        train_labels=table.label[train] if len(train) else None,
        train_decisions=decisions,
        features={split: table.frame.iloc[table.rows(split)][features] for split in present} if features else {},
        numeric=policy.data.numeric or None,
        persons=None if table.persons is None else {split: table.persons[table.rows(split)] for split in present},
        groupings=_groupings(table, "train"),
        self_influence=None if scores is None else scores.self_influence,
        no_self_influence=no_scores,
        reference=None if scores is None else scores.reference,
        settings=policy.privacy,
        deployment=policy.deployment,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
        level=policy.fairness.level,
        retrained=retrained,
        no_retrained=no_retrained,
        planted=planted[0],
        no_planted=planted[1],
        earlier_guarded=guarded,
        reserve_labels=table.label[table.rows("reserve")] if len(table.rows("reserve")) else None,
        traced=traced(subject, table, scores),
        asked=guessed(subject, table, policy.privacy.infer),
        around=around(policy, subject, table, decisions, attributed=attributed, scores=scores),
    )
    return privacy_room.assess(given)


def around(
    policy: Policy, subject: Subject, table: Table, decisions: Floats | None, *, attributed: InfluencePart,
    scores: influence_room.InfluenceArrays | None,
) -> Around:  # fmt: skip
    """Slices of the training records, effects on gaps as far as they may be relied on, and the model's size."""
    train = table.rows("train")
    asked = decide_rows(subject, table, train)[0] if len(train) and subject.score is not None else None
    pieces = [Piece(*found) for found in on_training(policy, table, decisions, asked)] if len(train) else []
    values = {row.name: row.value for row in attributed.slices if row.kind == "gap" and row.value is not None}
    gaps = Gaps(reason=attributed.reason or NO_GAPS)
    if scores is not None and attributed.status == "assessed":
        at = [k for k, name in enumerate(scores.names) if scores.kinds[k] == "gap" and name in values]
        names = tuple(scores.names[k] for k in at)
        gaps = Gaps(names, tuple(float(values[name] or 0.0) for name in names), scores.effects[:, at], "")
    return Around(pieces, gaps, subject.parameters)


def training_slices(policy: Policy, subject: Subject, table: Table) -> dict[str, NDArray[np.bool_]]:
    """Name -> [N] of the policy's slices that can be put to training records."""
    train = table.rows("train")
    if not len(train) or subject.score is None:
        return {}
    score, decision = decide_rows(subject, table, train)
    pieces = [Piece(*found) for found in on_training(policy, table, decision, score)]
    return {piece.name: piece.mask for piece in pieces if piece.mask is not None}


def traced(subject: Subject, table: Table, scores: influence_room.InfluenceArrays | None) -> Traced:
    """What gradients and the course of training say of the training records."""
    if not len(table.rows("train")):
        return Traced()
    course, no_course = trajectory.follow(subject, table)
    norm, no_norm = trajectory.final_lengths(subject, table)
    leverage = None if scores is None else scores.leverage
    no_leverage = "the influence estimator takes no record out of its curvature" if leverage is None else ""
    return Traced(course, no_course, norm, no_norm, leverage, no_leverage)


def remedies(
    policy: Policy, subject: Subject, table: Table, predictions: Predictions, *, pool: Bank | None, no_pool: str,
    arrays: dict[str, NDArray[Any]], generator: np.random.Generator,
) -> RemediesPart:  # fmt: skip
    """What the remedies that the policy asks for change, on the pool's halves."""
    return remedies_room.assess(
        policy.remedies,
        subject=subject,
        table=table,
        bank=pool,
        no_bank=no_pool,
        exposed=arrays.get("exposed_flag"),
        clusters=arrays.get("duplicate_cluster"),
        people=people_of(policy, table, predictions, _groupings(table, "evaluation")),
        risk_threshold=policy.privacy.risk_threshold,
        generator=generator,
    )


def canaries(
    policy: Policy, subject: Subject, table: Table, generator: np.random.Generator, keep: Keep
) -> tuple[Planted | None, str]:
    """One retraining with canaries among the training records, or None and why there is none."""
    return plant(
        subject, table, policy.privacy.canaries, label=policy.data.label.column, generator=generator, keep=keep
    )


def _groupings(table: Table, split: Split) -> dict[str, Grouping]:
    """Membership restricted to one split's rows."""
    rows = table.rows(split)
    return {name: replace(grouping, codes=grouping.codes[rows]) for name, grouping in table.groupings.items()}
