"""The gradient store: build it once from the training records, ask it about new slices without them.

    store = build_store(module, loss, (inputs, targets), Path("store"), weight_decay=1e-3)
    open_store(Path("store")).query(module, loss, {"women": (inputs_w, targets_w)}).scores

A record's loss gradient is kept as its two-sided projection (`logra`), in memory-mapped shards, beside the fitted
projected curvature. A question costs the slices' gradients and one product with what is kept. Scores have the unit and
sign of `attribute`, and are those of its estimator `logra` up to the precision of the store.

Gradients of single records can give the records away: a store is as confidential as the training data. A new folder is
readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, DataError, IntegrityError
from auditkit.influence.attributed import Attribution
from auditkit.influence.attribution import unit_of
from auditkit.influence.damping import Damping
from auditkit.influence.measures import measure_gradients, measure_values
from auditkit.influence.problem import Loss
from auditkit.influence.projected import Inverse
from auditkit.influence.projecting import Directions
from auditkit.influence.refusals import explained, require_finite
from auditkit.influence.request import Measured, Passes, Rows, check_settings, device_of, evaluation_of, problem_of
from auditkit.influence.roots import RootColumns
from auditkit.influence.storage.building import Builder, StoreSettings, describe, kinds_of
from auditkit.influence.storage.keys import MODEL, differing, model_key, store_key
from auditkit.influence.storage.layout import Description, kept, kept_inverse, kept_projection, read_description
from auditkit.influence.storage.shards import Precision, Shard, read_shard
from auditkit.influence.straightness import check_curved
from auditkit.result import Quality


@dataclass(frozen=True)
class Store:
    """A finished store, checked when it was opened; `open_store` makes it."""

    folder: Path
    description: Description
    shards: tuple[Shard, ...]
    inverse: Inverse
    self_influence: Tensor
    """[N] predicted change of each record's own loss if it were removed, in the unit of the loss."""
    loss: Tensor
    """[N] each record's loss under the model."""
    weight: Tensor
    """[N] sample weights."""

    @property
    def records(self) -> int:
        """N, the training records that it holds."""
        return self.description.records

    def query(
        self,
        module: nn.Module,
        loss: Loss,
        slices: Mapping[str, Rows],
        *,
        measure: Measured = "loss",
        device: str | torch.device = "auto",
    ) -> Attribution:
        """Effects of every stored record on new slices' measures, without the training data.

            scores[n, s] = + w_n / N · (Pᵀ grad l_n)ᵀ H⁻¹ Pᵀ grad m_s          (first order; removal form `fixed`)

        Args:
            module: the module that the store was built for, in eval mode.
            loss: (outputs, targets) -> [B]; what is measured with `measure` "loss".
            slices: name -> (inputs, targets), as for `attribute`.
            measure: `loss`, a differentiable (outputs) -> [B], or one of these for each slice, by its name.
            device: where the slices' gradients are taken.

        Raises:
            IntegrityError: the module is not the one that the store was built for (what differs is named).
            PolicyError, DataError, ModelError, NumericsError: as `attribute`.
        """
        check_settings(removal="fixed", tolerance=0.0, measure=measure, slices=slices)
        _check_key(model_key(module), self.description, self.folder, MODEL)
        first = next(iter(slices.values()))
        where = device_of(device, module)
        if kinds_of(first) != self.description.kinds:
            raise DataError("inputs or targets of the slices differ in kind or shape from the stored training records'")
        problem = problem_of(module, loss, _twice(first), where=where, weight_decay=0.0, weights=None, plan=Passes())
        evaluation = evaluation_of(problem, slices, measure)
        pieces = self.description.pieces(self.folder)
        projection = kept_projection(pieces, self.description, problem.module)
        directions = self.inverse.solve(projection.down(measure_gradients(problem, evaluation)).cpu())
        products = torch.cat([shard.products(directions, self.inverse.spans) for shard in self.shards])
        scores = products * (self.weight / self.records).unsqueeze(1)
        require_finite(scores, "effects of training records on the measures")
        return Attribution(
            scores=scores,
            self_influence=self.self_influence.clone(),
            slice_names=tuple(slices),
            unit=unit_of(measure),
            quality=self._quality(),
            values=measure_values(problem, evaluation).cpu(),
        )

    def append(
        self,
        module: nn.Module,
        loss: Loss,
        more: Rows,
        *,
        weight_decay: float | Mapping[str, float] = 0.0,
        sample_weight: Tensor | None = None,
        device: str | torch.device = "auto",
    ) -> Store:
        """Add training records of the same model; N, the curvature and every self-influence become those of all.

        With random directions the scores are those of a store built of all records at once, up to rounding; leading
        directions stay those of the first records. A killed append goes on when it is called again with its records.

        Args:
            module, loss: those of the store. more: the new records only. weight_decay: that of the store.
            sample_weight: [n] of the new records. device: where the passes run.

        Raises:
            IntegrityError: the store was built for something else (named), or an unfinished append of other records.
        """
        settings = StoreSettings(**self.description.settings["store"])
        given = _given(settings, weight_decay)
        _check_key(store_key(module, loss, given), self.description, self.folder, None)
        where = device_of(device, module)
        plan, decay = Passes(), weight_decay
        problem = problem_of(module, loss, more, where=where, weight_decay=decay, weights=sample_weight, plan=plan)
        problem = replace(problem, root=RootColumns(probes=settings.probes))
        Builder(problem, settings, self.description, self.folder, self.description.shards).run()
        return open_store(self.folder)

    def _quality(self) -> tuple[Quality, ...]:
        settings, damping = self.description.settings["store"], self.description.damping or {}
        return (
            Quality(
                name="estimator",
                value=None,
                text=f"logra, from a gradient store of {self.records:,} records at rank {settings['rank']} "
                f"({settings['directions']} directions). Source: Choe et al. 2024.",
            ),
            Quality(
                name="damping",
                value=max(damping.values(), default=0.0),
                text="Largest number added to the curvature's diagonal beyond L2.",
            ),
            Quality(
                name="form",
                value=None,
                text="Effects are first-order, without the Newton step; removal form fixed.",
            ),
            *(Quality(**said) for said in self.description.quality),
        )


def build_store(
    module: nn.Module,
    loss: Loss,
    train: Rows,
    folder: Path,
    *,
    rank: int = 64,
    directions: Directions = "random",
    damping: Damping = "auto",
    weight_decay: float | Mapping[str, float] = 0.0,
    sample_weight: Tensor | None = None,
    precision: Precision = "float32",
    shard_rows: int = 1024,
    probes: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> Store:
    """Build a store of these training records; a build that was killed goes on from its finished shards.

    Args:
        module, loss, train, weight_decay, sample_weight, device: as for `attribute`.
        folder: where the store lies; made where it is absent.
        rank: directions kept of a layer's inputs and of its output gradients (capped by their number), so at most rank²
            numbers a record and layer. directions: `random`, or the `leading` eigenvectors of each side.
        damping: beyond the model's own L2; `auto` by the rule in `damping`.
        precision: of the kept gradients; `float16` halves the files (the quality states its error).
        shard_rows: records of a file, which is also what a killed build may have to compute again.
        probes: for outputs with many numbers, the random combinations of root columns a record (`roots`); None goes by
            the number of records here. seed: of random directions.

    Raises:
        IntegrityError: the folder holds a store of another model, loss, data, settings or version (named), or a damaged
            shard. PolicyError: an unknown setting. DataError, ModelError, NumericsError: as `attribute`.
    """
    settings = StoreSettings(rank, directions, seed, damping, precision, shard_rows)
    where, plan, decay = device_of(device, module), Passes(), weight_decay
    problem = problem_of(module, loss, train, where=where, weight_decay=decay, weights=sample_weight, plan=plan)
    settings = replace(settings, probes=problem.root.probes if probes is None else probes)
    problem = replace(problem, root=RootColumns(probes=settings.probes))
    given = _given(settings, weight_decay)
    check_curved(problem)
    description = describe(problem, settings, given, store_key(module, loss, given), folder)
    with explained(problem):
        Builder(problem, settings, description, folder, 0).run()
    return open_store(folder)


def open_store(folder: Path) -> Store:
    """A finished store, every file of it checked against its digest.

    Raises:
        IntegrityError: there is no finished store, or a file is not what was written (the shard is named).
    """
    description = read_description(folder)
    if description is None or not description.shards:
        state = "there is no gradient store" if description is None else "the gradient store is not finished"
        raise IntegrityError(Complaint(state, str(folder), "build it"))
    pieces = description.pieces(folder)
    shards = tuple(read_shard(pieces, number) for number in range(description.shards))
    kept(pieces, "projection")
    return Store(
        folder=folder,
        description=description,
        shards=shards,
        inverse=kept_inverse(pieces, description),
        self_influence=kept(pieces, f"self-influence-{description.shards:06}")["self-influence"],
        loss=torch.cat([torch.from_numpy(shard.loss.copy()) for shard in shards]),
        weight=torch.cat([torch.from_numpy(shard.weight.copy()) for shard in shards]),
    )


def _given(settings: StoreSettings, weight_decay: float | Mapping[str, float]) -> dict[str, object]:
    decay = dict(weight_decay) if isinstance(weight_decay, Mapping) else weight_decay
    return {"store": asdict(settings), "weight_decay": decay}


def _check_key(mine: Mapping[str, str], description: Description, folder: Path, parts: tuple[str, ...] | None) -> None:
    differ = differing(mine, description.key, parts)
    if differ:
        raise IntegrityError(Complaint(f"the gradient store was built for other {', '.join(differ)}", str(folder)))


def _twice(rows: Rows) -> Rows:
    """The rows, doubled where there is one only: a problem is posed on two at least, and only its shapes are used."""
    inputs, targets = rows
    if len(targets) > 1:
        return rows
    several = tuple(torch.cat([t, t]) for t in (inputs if isinstance(inputs, (tuple, list)) else (inputs,)))
    return several, torch.cat([targets, targets])
