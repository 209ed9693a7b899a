"""Whether measures are scored by pairs of rows (`pairs`), in how many terms, and the error that this costs.

Cost, in products a record: M R (o + i) summed over layers for M rows, against S o i for S measures by their gradients;
memory M (o + i) numbers in place of S o i, some of them in several copies. Pairs are taken where they are fewer
products, every parameter lies in a layer that meets one row a record, and the tolerance is above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.capture import trace
from auditkit.influence.lengths import OwnLength
from auditkit.influence.measures import Evaluation, record_quantity
from auditkit.influence.pairs import Pair, RowPairs
from auditkit.influence.partial import fit_quality
from auditkit.influence.problem import Problem, batches
from auditkit.influence.rehearsal import MARGIN, Trial, own_forms
from auditkit.influence.samples import relative
from auditkit.influence.sampling import thinned
from auditkit.influence.sharing import whole
from auditkit.influence.sweep import Seen, Sweep, output_gradients, single_row_sites, site_directions
from auditkit.influence.widening import widened_curvature, widened_evaluation, widened_problem, widened_rows
from auditkit.result import Quality

_SAMPLE = 128
"""Records on which the error is measured."""
_WORTHWHILE = 2**30
"""Products over all records by the measures' gradients from which a trial of pairs pays."""
_SHARES = (1.0, 0.1, 0.01)
"""Share of the tolerance by which an entry of an inverse block may be off, tried in this order."""


def rehearse_rows(
    problem: Problem, curvature: BlockCurvature, evaluation: Evaluation, pulls: Tensor, *, tolerance: float, own: bool
) -> tuple[Trial, Tensor] | None:
    """The pass by pairs, and what pulls add to each measure [S]; None where gradients are no more work.

    Args:
        problem, curvature, evaluation: as for `scoring.score`. pulls: [D, P] directions that every removal adds.
        tolerance: largest relative error of a column. own: whether self-influence is asked for.
    """
    weights = _by_row(evaluation)
    if not tolerance > 0 or not _may_pay(problem, curvature, len(weights), len(evaluation.measures)):
        return None
    wide = widened_problem(problem)
    exact_curvature = widened_curvature(curvature, wide)
    rows = _evaluation_rows(wide, exact_curvature, widened_evaluation(evaluation))
    sample = _Sample(problem, curvature, rows, weights)
    true = sample.exact(curvature)
    for share in _SHARES:
        pairs = sample.pairs(curvature, share * MARGIN * tolerance)
        if pairs is None or pairs.products >= _dense(curvature, len(evaluation.measures)):
            return None
        error = relative(sample.scores(pairs), true)
        if error <= MARGIN * tolerance:
            break
    else:
        return None
    sweep = replace(Sweep.of(problem, curvature, pulls, own=own), pairs=pairs)
    forms, words = own_forms(sweep, tolerance) if own else ({}, [])
    sweep = replace(sweep, own={**sweep.own, **forms})
    said = (*sample.settled(curvature, true), _quality(sample, pairs, words, error, tolerance))
    return Trial(sweep, said), weights.T @ _along(sweep, rows)


def _quality(sample: _Sample, pairs: RowPairs, words: list[str], error: float, tolerance: float) -> Quality:
    terms = ", ".join(f"{name} in {len(form.inverse[0].T)}" for name, form in pairs.forms.items() if form.inverse)
    rows = f"{len(pairs.weights):,} evaluation rows as pairs of vectors, inverse blocks in few terms ({terms})"
    form = "; ".join([rows, *words])
    text = (
        f"Against {sample.records.n:,} records with nothing left out, in float64, the scores of the slice where it is "
        f"largest differ by {error:.1e} of their norm; tolerance {tolerance:g}. Form: {form}."
    )
    return Quality(name="compression", value=error, text=text, warns=error > tolerance)


def _by_row(evaluation: Evaluation) -> Tensor:
    """[M, S] c_e of every row and quantity that some measure weighs, quantity by quantity."""
    parts = [evaluation.weights(quantity) for quantity in evaluation.quantities()]
    return torch.cat([part[(part != 0).any(1)] for part in parts])


def _may_pay(problem: Problem, curvature: BlockCurvature, rows: int, measures: int) -> bool:
    """Whether a few terms could be fewer products than gradients, before anything is decomposed."""
    sites = curvature.sites
    if not sites or curvature.beside.every or len(single_row_sites(problem, sites)) != len(sites):
        return False
    fewest = sum(sum(site.shape) for site in sites) * rows
    # Below some work over all records neither way is worth a trial.
    return fewest < _dense(curvature, measures) and problem.n * _dense(curvature, measures) >= _WORTHWHILE


def _dense(curvature: BlockCurvature, measures: int) -> int:
    """Products a record by the measures' gradients."""
    return measures * sum(site.shape[0] * site.shape[1] for site in curvature.sites)


def _evaluation_rows(wide: Problem, curvature: BlockCurvature, evaluation: Evaluation) -> dict[str, Pair]:
    """Site -> inputs [M, i] and gradients [M, o] of the rows' quantities, float64, in the order of `_by_row`."""
    found: dict[str, list[Pair]] = {site.name: [] for site in curvature.sites}
    for quantity in evaluation.quantities():
        used = (evaluation.weights(quantity) != 0).any(1)
        inputs, targets = tuple(t[used] for t in evaluation.inputs), evaluation.targets[used]
        for _, part, aims in batches(inputs, targets, wide.batch):
            seen = trace(wide, curvature.sites, part)
            slope = _slope(wide, evaluation, quantity, seen.outputs, aims)
            gradients = output_gradients(wide, curvature.sites, seen, slope)
            for site in curvature.sites:
                found[site.name].append((seen.inputs(site)[:, 0], gradients[site.name][:, 0, 0]))
    return {name: (torch.cat([a for a, _ in rows]), torch.cat([d for _, d in rows])) for name, rows in found.items()}


def _slope(problem: Problem, evaluation: Evaluation, quantity: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """[B, C] derivative of each row's quantity in its outputs."""
    z = outputs.detach().requires_grad_()
    with torch.enable_grad():
        values = record_quantity(problem, evaluation, quantity, z, targets)
        (found,) = torch.autograd.grad(values.sum(), z)
    return found


def _along(sweep: Sweep, rows: Mapping[str, Pair]) -> Tensor:
    """[M] products of the rows' gradients with all pulls together."""
    total = torch.zeros(len(next(iter(rows.values()))[0]), dtype=torch.float64, device=sweep.directions.device)
    for site in sweep.curvature.sites:
        a, d = rows[site.name]
        total += ((d @ site_directions(sweep.problem, site, sweep.directions).sum(0)) * a).sum(1)
    return total


class _Sample:
    """A few records, and the evaluation rows, before any block has turned them."""

    def __init__(self, problem: Problem, curvature: BlockCurvature, rows: Mapping[str, Pair], weights: Tensor) -> None:
        self.problem, self.rows, self.weights = problem, rows, weights
        self.records = widened_rows(whole(thinned(curvature.problem, _SAMPLE)))
        self.sites = widened_curvature(curvature, self.records).sites
        parts: dict[str, list[Pair]] = {site.name: [] for site in self.sites}
        for _, inputs, targets in self.records.rows():
            seen = Seen.of(self.records, self.sites, inputs, targets)
            for site in self.sites:
                parts[site.name].append(seen.rows(site, torch.float64))
        self.given = {n: (torch.cat([a for a, _ in p]), torch.cat([d for _, d in p])) for n, p in parts.items()}

    def exact(self, curvature: BlockCurvature) -> Tensor:
        """[n, S] by whole blocks in float64."""
        forms = {site.name: OwnLength.of(curvature.blocks[site.name], torch.float64) for site in self.sites}
        return self.scores(self._under(forms, torch.float64))

    def pairs(self, curvature: BlockCurvature, allowed: float) -> RowPairs | None:
        """In the precision of the passes; None where a block has no such terms."""
        dtype = self.problem.dtype
        forms = {site.name: OwnLength.of(curvature.blocks[site.name], dtype).in_terms(allowed) for site in self.sites}
        known = {name: form for name, form in forms.items() if form is not None}
        return self._under(known, dtype) if len(known) == len(forms) else None

    def scores(self, pairs: RowPairs) -> Tensor:
        """[n, S] of the sample, by these pairs, float64."""
        dtype = next(iter(pairs.rows.values()))[0].dtype
        records = {n: pairs.forms[n].turned(a.to(dtype), d.to(dtype)) for n, (a, d) in self.given.items()}
        return pairs.scores(records).to(torch.float64)

    def settled(self, curvature: BlockCurvature, true: Tensor) -> tuple[Quality, ...]:
        """How far scores rest on the part of the records that the curvature was fitted on."""
        if curvature.quarter is None:
            return ()
        return fit_quality(self.problem.n, curvature, relative(self.exact(curvature.quarter), true), None)

    def _under(self, forms: Mapping[str, OwnLength], dtype: torch.dtype) -> RowPairs:
        turned = {n: forms[n].turned(a.to(dtype), d.to(dtype)) for n, (a, d) in self.rows.items()}
        return RowPairs(forms, turned, self.weights)
