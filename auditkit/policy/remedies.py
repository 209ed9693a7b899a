"""The policy's `remedies:` section: what is tried on retrained models, and how strongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from auditkit.errors import Complaint
from auditkit.policy.document import KeyPath
from auditkit.policy.settings import Section

RemedyName = Literal["stronger-l2", "fewer-epochs", "deduplicate", "remove-flagged", "dp-sgd"]


class StrongerL2(Section):
    """The same recipe with a larger L2."""

    times: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    """Factor on the recipe's L2; 1 changes nothing and shows what the comparison itself gives."""


class FewerEpochs(Section):
    """The same recipe, stopped earlier; its learning rate falls over the epochs that are left."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the recipe's epochs."""


class DpSgd(Section):
    """Training with differential privacy: DP-SGD through Opacus."""

    epsilon: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Upper limit of the privacy loss, for one record added or removed."""
    delta: Annotated[float, Field(gt=0, lt=0.1)] = 1e-5
    """Probability with which that limit may fail; well below one in the number of records."""
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Largest norm of one record's gradient; longer ones are shortened to it."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Passes over the records, in the mean: records are drawn by Poisson sampling."""
    batch: Annotated[int, Field(ge=1)] = 256
    """Records expected in one step."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    """Step size at the start; it falls to 0 along a cosine."""


class Asked(Section):
    """One remedy with its settings; exactly one key."""

    stronger_l2: StrongerL2 | None = None
    """The same recipe with a larger L2."""
    fewer_epochs: FewerEpochs | None = None
    """The same recipe, stopped earlier."""
    dp_sgd: DpSgd | None = None
    """Training with differential privacy."""


def _form(value: object) -> str:
    return "settings" if isinstance(value, dict | Asked) else "name"


Entry = Annotated[Annotated[RemedyName, Tag("name")] | Annotated[Asked, Tag("settings")], Discriminator(_form)]


class RemedySettings(Section):
    """Which remedies are re-tested, each on models retrained beside those without it."""

    try_: Annotated[tuple[Entry, ...], Field(alias="try")] = ()
    """`stronger-l2`, `fewer-epochs`, `deduplicate`, `remove-flagged`, `dp-sgd`, or a mapping that sets one of them."""
    models: Annotated[int, Field(ge=16, le=1024)] = 64
    """Pairs of retrained models per remedy, at most as many as the privacy part retrains."""

    @property
    def asked(self) -> tuple[tuple[RemedyName, Section | None], ...]:
        """Name and settings of each entry, in the policy's order; None for a remedy without settings."""
        return tuple(_stated(entry) for entry in self.try_)


DEFAULTS: Final[dict[RemedyName, Section | None]] = {
    "stronger-l2": StrongerL2(),
    "fewer-epochs": FewerEpochs(),
    "deduplicate": None,
    "remove-flagged": None,
    "dp-sgd": DpSgd(),
}


def _stated(entry: RemedyName | Asked) -> tuple[RemedyName, Section | None]:
    if not isinstance(entry, Asked):
        return entry, DEFAULTS[entry]
    if entry.stronger_l2 is not None:
        return "stronger-l2", entry.stronger_l2
    return ("fewer-epochs", entry.fewer_epochs) if entry.fewer_epochs is not None else ("dp-sgd", entry.dp_sgd)


def check_remedies(raw: Mapping[str, Any], locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    """What no single key can say: one remedy an entry, none twice, and retrained models to try them on."""
    section = raw.get("remedies")
    entries = section.get("try") if isinstance(section, dict) else None
    if not isinstance(entries, list) or not entries:
        return
    here: KeyPath = ("remedies", "try")
    for index, entry in enumerate(entries):
        where = locate((*here, index))
        named = [key for key, value in entry.items() if value is not None] if isinstance(entry, dict) else [entry]
        if len(named) != 1:
            what = f"{len(named)} remedies" if named else "no remedy with settings"
            message = f"entry {index + 1} of 'try' names {what}"
            yield Complaint(message, where=where, hint="write one remedy an entry, by its name alone for its defaults")
        if entry in entries[:index]:
            yield Complaint(f"entry {index + 1} of 'try' stands twice", where=where, hint="keep one")
    privacy, data = raw.get("privacy"), raw.get("data")
    if isinstance(privacy, dict) and privacy.get("bank") == "none":
        message = "'remedies' asks for retrained models, and 'bank' of 'privacy' is none"
        yield Complaint(message, where=locate(here), hint="write bank: auto, or remove remedies:")
    if isinstance(data, dict) and data.get("reserve") is None:
        message = "'remedies' needs a reserve to measure risk against, and 'data' has none"
        yield Complaint(message, where=locate(here), hint="add reserve: with records that the model never saw")
