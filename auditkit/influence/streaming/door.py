"""The door for training tables larger than memory: Parquet files in, score shards and their summaries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from auditkit.influence.damping import Damping
from auditkit.influence.problem import Loss
from auditkit.influence.renormalised import RemovalForm
from auditkit.influence.request import Measured, Rows, check_settings
from auditkit.influence.streaming.encoding import Encode, Reader
from auditkit.influence.streaming.joining import joined
from auditkit.influence.streaming.outcome import TableAttribution
from auditkit.influence.streaming.running import Settings, run
from auditkit.influence.streaming.tables import Paths, open_table


def attribute_table(
    module: nn.Module,
    loss: Loss,
    train: Paths,
    encode: Encode,
    slices: Mapping[str, Rows],
    *,
    out: str | Path,
    columns: Sequence[str] | None = None,
    identifier: str | None = None,
    estimator: str = "ekfac",
    damping: Damping = "auto",
    weight_decay: float | Mapping[str, float] = 0.0,
    removal: RemovalForm = "fixed",
    measure: Measured = "loss",
    tolerance: float = 0.01,
    fit_records: int | None = 20_000,
    rows_per_batch: int = 4096,
    rows_per_shard: int = 2**18,
    top: int = 100,
    device: str | torch.device = "auto",
    generator: torch.Generator | None = None,
) -> TableAttribution:
    """Score every record of a table that need not fit in memory; see `attribute` for what a score is.

        scores[n, s] ≈ + 1/N · grad m_sᵀ H⁻¹ w_n grad l_n

        def encode(batch):
            x = np.stack([batch.column(name).to_numpy() for name in ("age", "income")], axis=1)
            return torch.from_numpy(x), torch.from_numpy(batch.column("repaid").to_numpy().copy())

        found = attribute_table(module, loss, "loans/", encode, {"women": (x, y)}, out="scores/", weight_decay=1e-3)

    The table is read once to know it (its digest), once for the subsample, once to score; shards of scores go to `out`
    as they are finished. Memory: `fit_records` records (20,000 where that is None), `rows_per_batch` records (at least
    512), the curvature and 512 KiB a slice, whatever N is; with `fit_records` None and sample weights also a mapped
    file of 8 bytes a record. Passes are in the precision of the module where the estimator has that (`attribute`).
    Started again with the same arguments after it was killed, a run goes on from its finished factors and shards and
    ends in the same bytes. Under torch.distributed each process scores a stretch of the table; `out` and `train` are
    then the same for all. What is written says something of single records, and is as restricted as they are.

    Args:
        module: trained, in eval mode, called as `module(*inputs)`. Not changed.
        loss: (outputs, targets) -> [B], one value per record, not reduced, convex in the outputs.
        train: a Parquet file, a folder of them, or a sequence of files; records count in this order.
        encode: pyarrow.RecordBatch -> (inputs, targets) or (inputs, targets, sample weights), one row per record, each
            record on its own: `inputs` a tensor or a tuple of them as the module takes them.
        slices: name -> (inputs, targets) of the slice's evaluation records, encoded.
        out: folder of the run; empty, or that of the same run, begun earlier.
        columns: those that are read and handed to `encode`, in this order; None is all.
        identifier: a column to copy beside each score (and hand to `encode` too).
        estimator: a name of `registry.ESTIMATORS`, or `auto`.
        damping, weight_decay, measure, device: as in `attribute`.
        removal: `fixed` or `renormalised`.
        tolerance: largest relative error by which slices may be compressed.
        fit_records: records that the curvature is fitted on, drawn at random; how far scores rest on the draw is
            measured and stated. None is all of them, read in as many passes as the estimator takes; only for `exact`,
            `kfac` and `ekfac`.
        rows_per_batch: most training records held at a time, beside the subsample.
        rows_per_shard: records of a score shard.
        top: records kept at each end of every slice.
        generator: of the draw; None draws the same records at every call.

    Raises:
        PolicyError: a setting that is unknown or not supported (each is named).
        DataError: files that are missing, not Parquet, differ in columns or hold no record; an `encode` that fails or
            gives wrong shapes or values that are not finite (names file, row group and rows); a folder that cannot be
            written or holds another run.
        ModelError: a module or loss for which influence is not defined.
        NumericsError: a curvature that cannot be inverted, or scores that are not finite.
        IntegrityError: a kept piece is not what was written.

    Source: as for `attribute`; subsampled factors: Grosse et al. 2023, section 2.4 (expectations over few sequences).

    Wrong when: as for `attribute`; the measure is never evaluated at stepped parameters here, so for models that are
    affine in their parameters `attribute` is the more accurate where the table fits.
    """
    settings = Settings(
        estimator=estimator,
        damping=damping,
        weight_decay=weight_decay,
        removal=removal,
        measure=measure,
        tolerance=tolerance,
        fit_records=fit_records,
        rows_per_batch=rows_per_batch,
        rows_per_shard=rows_per_shard,
        top=top,
        identifier=identifier,
        device=device,
    )
    check_settings(removal=removal, tolerance=tolerance, measure=measure, slices=slices)
    settings.check()
    read = None if columns is None else list(columns)
    if read is not None and identifier is not None and identifier not in read:
        read.append(identifier)
    chance = torch.Generator().manual_seed(0) if generator is None else generator
    with joined() as processes:
        reader = Reader(open_table(train, read), encode, rows_per_batch, rows_per_shard)
        return run(module, loss, reader, slices, settings, out=Path(out), generator=chance, processes=processes)
