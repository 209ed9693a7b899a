"""From training records to a finished store: one sweep, shard by shard, that goes on where a killed one stopped.

Each record costs one forward pass and 1 + K' backward passes, for its loss and for the columns of its output Hessian's
root. After every shard the sums from which the curvature is made are kept, so a shard that is there is never computed
again; sums are added up shard by shard in order, so that a store that was resumed has the bytes of one that was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from auditkit.errors import Complaint, IntegrityError, PolicyError
from auditkit.influence.damping import Damping
from auditkit.influence.problem import Problem
from auditkit.influence.projected_sums import add_sums, batch_gradients, no_sums, rows_for
from auditkit.influence.projecting import Directions, choose_projection
from auditkit.influence.projection import Projection
from auditkit.influence.refusals import require_finite
from auditkit.influence.request import Rows
from auditkit.influence.storage.finishing import Fitted, fit
from auditkit.influence.storage.keys import differing, tensors_digest
from auditkit.influence.storage.layout import (
    Description,
    keep,
    keep_projection,
    kept,
    kept_projection,
    read_description,
    write_description,
)
from auditkit.influence.storage.shards import Precision, ShardWriter, read_shard
from auditkit.pieces import Pieces

_DONE = "shards"
_SUMS = "sums"


@dataclass(frozen=True)
class StoreSettings:
    """Everything about a store that is chosen; `probes` are the mixed columns of each large root (`roots`)."""

    rank: int = 64
    directions: Directions = "random"
    seed: int = 0
    damping: Damping = "auto"
    precision: Precision = "float32"
    shard_rows: int = 1024
    probes: int = 8

    def __post_init__(self) -> None:
        """Refuse what is unknown or too small.

        Raises:
            PolicyError: names each wrong setting.
        """
        wrong = []
        if min(self.rank, self.shard_rows, self.probes) < 1:
            wrong.append("rank, shard_rows and probes must be at least 1")
        if self.directions not in ("random", "leading"):
            wrong.append(f"directions {self.directions!r} are not known; there are 'random' and 'leading'")
        if self.precision not in ("float32", "float16"):
            wrong.append(f"precision {self.precision!r} is not known; there are 'float32' and 'float16'")
        if wrong:
            raise PolicyError([Complaint(text) for text in wrong])


def describe(
    problem: Problem, settings: StoreSettings, given: Mapping[str, object], key: Mapping[str, str], folder: Path
) -> Description:
    """The store in this folder, which must be of this key; a new one where there is none.

    Args:
        problem: the training records. settings: of the store. given: the same with the L2, as the store keeps it.
        key: see `keys`. folder: where the store lies.

    Raises:
        IntegrityError: another store lies there (the parts of the key that differ are named).
    """
    found = read_description(folder)
    if found is not None:
        differ = differing(key, found.key)
        if differ:
            said = f"the gradient store was built for other {', '.join(differ)}"
            raise IntegrityError(Complaint(said, str(folder), "name a new folder"))
        return found
    projection = choose_projection(problem, rank=settings.rank, directions=settings.directions, seed=settings.seed)
    made = Description(
        key=dict(key),
        settings=dict(given),
        names=problem.layout.names,
        shapes=problem.layout.shapes,
        kinds=kinds_of((problem.inputs, problem.targets)),
        sites=tuple(site.name for site in projection.sites),
        others=tuple(site.name for site in projection.others),
        runs={owner: run.names for owner, run in projection.runs.items()},
        spans={name: (span.start, span.stop) for name, span in projection.spans().items()},
    )
    # What is kept gives away much of the training records: for their owner only, as evidence folders are.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep_projection(made.pieces(folder), projection)
    write_description(folder, made)
    return made


def kinds_of(rows: Rows) -> tuple[tuple[tuple[int, ...], bool], ...]:
    """Of each input and of the targets: shape of one record, and whether it holds real numbers."""
    inputs, targets = rows
    tensors = (*inputs, targets) if isinstance(inputs, (tuple, list)) else (inputs, targets)
    return tuple((tuple(t.shape[1:]), t.is_floating_point()) for t in tensors)


@dataclass(frozen=True)
class Builder:
    """Writes the shards of some records behind those that a store has, and finishes it."""

    problem: Problem
    """The records; N of the store is counted from its shards."""
    settings: StoreSettings
    description: Description
    """Of the store in `folder`."""
    folder: Path
    base: int
    """Finished shards that hold other records."""

    @cached_property
    def pieces(self) -> Pieces:
        """Of the store."""
        return self.description.pieces(self.folder)

    @cached_property
    def projection(self) -> Projection:
        """As it is kept."""
        return kept_projection(self.pieces, self.description, self.problem.module)

    def run(self) -> None:
        """Write what is missing.

        Raises:
            IntegrityError: shards that are there hold other records than those given, or are damaged (each is named).
            NumericsError: gradients that are not finite, or a block that is not positive definite.
        """
        sums, parts = self._sums(), list(self._parts())
        done, end = int(sums[_DONE]), self.base + len(parts)
        if done > end:
            said = "the gradient store holds more records than were given"
            raise IntegrityError(Complaint(said, str(self.folder), "append only what is new"))
        for number in range(self.base, done):
            self._check_same(number, parts[number - self.base])
        for number in range(done, end):
            self._write(number, parts[number - self.base], sums)
            sums[_DONE] += 1
            keep(self.pieces, _SUMS, sums)
        self._finish(sums)

    def _parts(self) -> Iterator[Problem]:
        """The records of each shard."""
        problem, size = self.problem, self.settings.shard_rows
        for start in range(0, len(problem.targets), size):
            at = slice(start, min(start + size, len(problem.targets)))
            rows = tuple(t[at] for t in problem.inputs)
            yield replace(problem, inputs=rows, targets=problem.targets[at], weights=problem.weights[at])

    def _sums(self) -> dict[str, Tensor]:
        """Sums over all finished shards; zeros at the beginning."""
        device = self.problem.targets.device
        if self.pieces.get(_SUMS) is not None:
            return {name: value.to(device) for name, value in kept(self.pieces, _SUMS).items()}
        return {**no_sums(self.projection, device), _DONE: torch.zeros((), dtype=torch.int64)}

    def _check_same(self, number: int, part: Problem) -> None:
        if read_shard(self.pieces, number).data != _data(part):
            raise IntegrityError(
                Complaint(
                    f"shard {number} of the gradient store holds other training data than those given",
                    str(self.folder),
                    "give the records that the store was begun with, in their order, or name a new folder",
                )
            )

    def _write(self, number: int, part: Problem, sums: dict[str, Tensor]) -> None:
        """One shard, and its share of the sums."""
        spans = self.projection.spans()
        writer = ShardWriter(self.pieces, number, spans, self.settings.precision, len(part.targets))
        losses = []
        for batch in part.rows(rows_for(part, self.projection)):
            found = batch_gradients(part, self.projection, batch)
            require_finite(found.gradient, f"projected gradients of shard {number}")
            add_sums(sums, spans, found, part.weights[batch[0]])
            losses.append(found.loss)
            writer.append(found.gradient)
        writer.finish(loss=torch.cat(losses), weight=part.weights, data=_data(part))

    def _finish(self, sums: Mapping[str, Tensor]) -> None:
        """Invert the curvature of all records, and keep it with every record's self-influence."""
        shards = [read_shard(self.pieces, number) for number in range(int(sums[_DONE]))]
        fitted = fit(self.problem, self.projection, sums, shards, self.settings.damping)
        keep(self.pieces, f"inverse-{len(shards):06}", fitted.inverse.factors)
        keep(self.pieces, f"self-influence-{len(shards):06}", {"self-influence": fitted.self_influence})
        after = self._finished(fitted, len(shards))
        write_description(self.folder, after)
        if self.description.shards not in (0, after.shards):
            for name in ("inverse", "self-influence"):
                self.pieces.path(f"{name}-{self.description.shards:06}").unlink(missing_ok=True)
        for left in self.folder.rglob(".*.part"):
            left.unlink(missing_ok=True)

    def _finished(self, fitted: Fitted, shards: int) -> Description:
        quality = tuple(found.model_dump() for found in fitted.quality)
        records, damping = len(fitted.self_influence), dict(fitted.damping)
        return replace(self.description, shards=shards, records=records, damping=damping, quality=quality)


def _data(part: Problem) -> str:
    rows = {f"input {k}": tensor for k, tensor in enumerate(part.inputs)}
    return tensors_digest({**rows, "targets": part.targets, "weights": part.weights})
