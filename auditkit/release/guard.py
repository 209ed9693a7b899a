"""What one release must not say because earlier ones of the same policy were published: the differencing guard.

Applied to the parts before anything is judged, so that no sentence holds a figure that is withheld. It reads each part
by what its figures count over: a whole split, a group (`on`, `group`) or a marked set, and never by the figure's value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from auditkit.release.blank import blank, blanked, emptied
from auditkit.release.cells import SPLITS, UNKNOWN_GROUP, Cells, Name
from auditkit.release.held import EVALUATION, held_cells, lines
from auditkit.release.whole import across, privacy, remedies
from auditkit.result import (
    DataPart,
    Fact,
    FairnessPart,
    Group,
    InfluencePart,
    ModelPart,
    PrivacyPart,
    RemediesPart,
    SliceInfluence,
    SplitFacts,
)
from auditkit.subject.types import Grouping

HELD: Final = "Withheld beside earlier releases"
UNKNOWN_STEP: Final = 0.05


@dataclass(frozen=True)
class Parts:
    """The parts of a result that hold figures of persons."""

    data: DataPart
    model: ModelPart
    fairness: FairnessPart
    influence: InfluencePart
    privacy: PrivacyPart
    remedies: RemediesPart

    @property
    def told(self) -> tuple[DataPart, ModelPart, FairnessPart, InfluencePart, PrivacyPart, RemediesPart]:
        """The parts, one by one."""
        return self.data, self.model, self.fairness, self.influence, self.privacy, self.remedies


@dataclass(frozen=True)
class Guarded:
    """What may be published."""

    parts: Parts
    notes: tuple[Fact, ...] = ()
    """For the front page and the limits: what is withheld, and what to do; empty where nothing is."""
    published: Cells | None = None
    """The cells whose figures are published, for the guard of later releases; None where nothing is released."""
    held: frozenset[Name] = frozenset()
    splits_told: bool = True
    """Whether the sizes of splits may be told, also as shapes of arrays."""

    @property
    def evaluation_told(self) -> bool:
        """Whether nothing that counts over evaluation records is withheld."""
        return not any(name.split == EVALUATION and not name.mark for name in self.held)

    @property
    def names(self) -> tuple[str, ...]:
        """What is withheld, in words, for the journal."""
        return tuple(dict.fromkeys(_said(name) for name in sorted(self.held) if _named(name)))


def guard(
    parts: Parts, cells: Cells, earlier: Sequence[Cells], *, groupings: Iterable[Grouping], minimum: int
) -> Guarded:
    """Withhold what would tell of fewer than `minimum` persons beside an earlier release.

    Args:
        parts: as the rooms gave them. cells: what they count over; see `cells_of`.
        earlier: what each earlier release of this policy published. groupings: attributes and intersections.
        minimum: minimum cell.
    """
    held = held_cells(cells, earlier, lines(cells, tuple(groupings)), minimum) if earlier else frozenset[Name]()
    published = cells.only([name for name in cells.members if name not in held])
    if not held:
        return Guarded(parts, (), published, held, True)
    reason = f"it differs from an earlier release by fewer than {minimum} persons, or would give such a figure back"
    splits = [split for split in SPLITS if Name(split) in held]
    guarded = Parts(
        data=_data(parts.data, held, splits, reason),
        model=_model(parts.model, held, reason),
        fairness=_fairness(parts.fairness, held, reason),
        influence=_influence(parts.influence, held, splits, reason),
        privacy=privacy(parts.privacy, held, splits, reason),
        remedies=remedies(parts.remedies, held, reason),
    )
    return Guarded(guarded, _notes(held, splits, minimum), published, held, not splits)


def _data(part: DataPart, held: frozenset[Name], splits: Sequence[str], reason: str) -> DataPart:
    checks = part.checks
    if splits:
        checks = tuple(
            fact.model_copy(update={"value": f"withheld: {reason}"}) if _figures(fact.value) else fact
            for fact in checks
        )
    return part.model_copy(update={"splits": tuple(_split(s, held, reason) for s in part.splits), "checks": checks})


def _split(facts: SplitFacts, held: frozenset[Name], reason: str) -> SplitFacts:
    changed = (
        SplitFacts(split=facts.split, n=None, persons=None, favourable_share=None)
        if (Name(facts.split) in held)
        else facts
    )
    if facts.favourable_share is not None and any(n.split == facts.split and n.outcome and n.held.whole for n in held):
        changed = changed.model_copy(update={"favourable_share": blank(facts.favourable_share, reason)})
    return changed


def _model(part: ModelPart, held: frozenset[Name], reason: str) -> ModelPart:
    if not _tells(held, "", ""):
        return part
    return part.model_copy(update={"measurements": tuple(blanked(row, reason) for row in part.measurements)})


def _fairness(part: FairnessPart, held: frozenset[Name], reason: str) -> FairnessPart:
    total = Name(EVALUATION) in held
    rows = tuple(
        blanked(row, reason)
        if _tells(held, row.on, row.group) or (row.reference and _tells(held, row.on, row.reference)) else row
        for row in part.measurements
    )  # fmt: skip
    groups = tuple(_group(group, held, reason, total=total) for group in part.groups)
    sized = any(n.split == EVALUATION and not n.mark for n in held)
    notes = tuple(note for note in part.notes if not (sized and _figures(note)))
    kept = {"measurements": rows, "groups": groups, "notes": notes}
    return part.model_copy(update=kept | (across(part, reason) if sized else {}))


def _group(group: Group, held: frozenset[Name], reason: str, *, total: bool) -> Group:
    """Without its size where that is held; without its share where the size of the whole is."""
    own = Name(EVALUATION, group.on, group.group) in held
    if not own and not total:
        return group
    share = None
    if group.status == "unknown":
        share = 1.0 if own else min(1.0, UNKNOWN_STEP * math.ceil((group.share or 0.0) / UNKNOWN_STEP + 1e-9))
    said: dict[str, object] = {"share": share}
    if own or group.status == "unknown":
        said |= {"n": None, "persons": None}
    if own:
        words = "; ".join(text for text in (group.reason, reason) if text)
        status = "insufficient-evidence" if group.status in ("assessed", "empty") else group.status
        said |= {"reason": words, "status": status}
    return group.model_copy(update=said)


def _influence(part: InfluencePart, held: frozenset[Name], splits: Sequence[str], reason: str) -> InfluencePart:
    if part.status == "not-applicable":
        return part
    if EVALUATION in splits or any(name.split == "train" and not name.mark for name in held):
        return emptied(part, reason).model_copy(update={"estimator": part.estimator, "removal": part.removal})
    touched = {name.on for name in held if name.split == EVALUATION and name.on not in ("", "slice")}
    slices = {name.group for name in held if name.on == "slice"}

    def told(piece: SliceInfluence) -> SliceInfluence:
        on = piece.name.partition(": ")[0]
        gone = piece.name in slices if piece.kind == "slice" else on in touched
        return emptied(piece, reason) if gone else piece

    return part.model_copy(update={"slices": tuple(told(piece) for piece in part.slices)})


def _tells(held: frozenset[Name], on: str, group: str) -> bool:
    """Whether figures of a group of the evaluation records would tell of what is held."""
    own = Name(EVALUATION, on, group)
    return any(name.held == own and not name.mark for name in held)


def _figures(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _notes(held: frozenset[Name], splits: Sequence[str], minimum: int) -> tuple[Fact, ...]:
    """What is withheld, by name and never by size, and what to do."""
    told = list(dict.fromkeys(_said(name) for name in sorted(held) if _named(name)))
    text = (
        f"Figures over {'; '.join(told)}: since an earlier release under this policy, fewer than {minimum} of the "
        "persons behind them have come, gone or changed, or such a figure would follow from these. Beside the earlier "
        "figures they would tell of those persons. "
    )
    if splits:
        text += (
            "Whole splits are among them, so everything that counts over them is withheld. Audit again when more "
            "persons have changed, or audit the earlier data once more."
        )
    return (Fact(name=HELD, value=text),)


def _named(name: Name) -> bool:
    """Whether the reader is told of it: groups and splits, not each of their outcomes."""
    return not (name.group == UNKNOWN_GROUP and name.outcome) and not (name.mark and name.on)


def _said(name: Name) -> str:
    if name.mark:
        return "marked training records"
    where = f"{name.on}: {name.group}" if name.on else "all records"
    return f"the {name.split} records ({where})"
