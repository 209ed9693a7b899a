"""A sample of records on which a pass is tried before it is run: their rows, their moments, their scores in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.compression import Contraction, Spectrum
from auditkit.influence.lengths import OwnLength
from auditkit.influence.problem import Problem
from auditkit.influence.sampling import thinned
from auditkit.influence.sharing import whole
from auditkit.influence.sweep import Seen, Sweep, site_directions
from auditkit.influence.widening import widened_curvature, widened_rows

SAMPLE = 4096
"""Most records tried; every fourth measures, the others give the moments."""
_FEWEST, _SHARE = 512, 8
"""Of N records an eighth is tried, or so many: a trial must cost little beside the pass."""

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sample:
    """What the sweep gives on the sample, and what it should give."""

    sweep: Sweep
    """As it stands, with nothing left out."""
    measured: Problem
    rows: Mapping[str, Pair]
    """Single-row site -> inputs and loss gradients of the measuring records."""
    moments: Mapping[str, Pair]
    """Single-row site -> second moments [i, i] and [o, o] of inputs and loss gradients, float64."""
    scores: Tensor
    """[n, S] of the measuring records by the sweep."""
    lengths: Tensor
    """[n]"""
    true_scores: Tensor
    """[n, S] recomputed in float64."""
    true_lengths: Tensor
    """[n]"""

    @staticmethod
    def of(sweep: Sweep) -> Sample:
        """Run the sample, in the precision of the sweep and in float64."""
        count = max(_FEWEST, min(SAMPLE, sweep.problem.n // _SHARE))
        records = whole(thinned(sweep.curvature.problem, count))
        fourth = torch.arange(len(records.targets), device=records.targets.device) % 4 == 0
        measured = _part(records, fourth)
        wide = widened_rows(measured)
        exact = Sweep.of(wide, widened_curvature(sweep.curvature, wide), sweep.directions, own=bool(sweep.own))
        return Sample(
            sweep,
            measured,
            _rows(sweep, measured),
            _moments(sweep, _part(records, ~fourth) if len(records.targets) > 1 else records),
            *products_of(sweep, measured),
            *products_of(exact, wide),
        )

    def scores_with(self, contractions: Mapping[str, Contraction]) -> float:
        """Largest relative error of a column, with other contractions at some sites."""
        found = self.scores.clone()
        for name, contraction in contractions.items():
            rows = self.rows[name]
            found += contraction.scores(*rows) - self.sweep.contractions[name].scores(*rows)
        return relative(found, self.true_scores)

    def lengths_with(self, own: Mapping[str, OwnLength]) -> tuple[float, float]:
        """Relative error of the lengths and that of a single one at most, with other forms at some sites."""
        found = self.lengths.clone()
        for name, form in own.items():
            rows = self.rows[name]
            found += form.lengths(*rows)[0] - self.sweep.own[name].lengths(*rows)[0]
        positive = self.true_lengths > 0
        errors = (found - self.true_lengths)[positive].abs() / self.true_lengths[positive]
        largest = float(errors.max()) if len(errors) else 0.0
        return relative(found.unsqueeze(1), self.true_lengths.unsqueeze(1)), largest

    def spectrum(self, name: str) -> Spectrum:
        """A site's slices in the weighted norm, each at unit score variance."""
        (site,) = (site for site in self.sweep.curvature.sites if site.name == name)
        deviations = self.true_scores.square().mean(0).sqrt()
        deviations = torch.where(deviations > 0, deviations, 1.0)
        directions = site_directions(self.sweep.problem, site, self.sweep.directions)
        return Spectrum.of(directions, *self.moments[name], deviations)


def products_of(sweep: Sweep, records: Problem) -> Pair:
    """Scores [n, S] and own lengths [n] of these records, float64."""
    parts = [sweep.batch(inputs, targets)[:2] for _, inputs, targets in records.rows()]
    cross, length = (torch.cat(column).to(torch.float64) for column in zip(*parts, strict=True))
    return cross, length


def mean_length(problem: Problem, curvature: BlockCurvature) -> float:
    """Mean own length over a sample of records."""
    records = whole(thinned(curvature.problem, SAMPLE // 4))
    blank = torch.zeros(problem.layout.size, 1, dtype=torch.float64, device=records.targets.device)
    return float(products_of(Sweep.of(problem, curvature, blank), records)[1].mean())


def relative(found: Tensor, exact: Tensor) -> float:
    """Largest ‖ŝ − s‖ / ‖s‖ over columns; a column of zeros counts by its absolute error."""
    norms = exact.norm(dim=0)
    return float(((found - exact).norm(dim=0) / torch.where(norms > 0, norms, 1.0)).max())


def _part(problem: Problem, mask: Tensor) -> Problem:
    inputs = tuple(t[mask] for t in problem.inputs)
    return replace(problem, inputs=inputs, targets=problem.targets[mask], weights=problem.weights[mask], total=None)


def _rows(sweep: Sweep, records: Problem) -> dict[str, Pair]:
    sites = [site for site in sweep.curvature.sites if site.name in sweep.contractions]
    found: dict[str, list[Pair]] = {site.name: [] for site in sites}
    for _, inputs, targets in records.rows() if sites else ():
        seen = Seen.of(sweep.problem, sites, inputs, targets)
        for site in sites:
            found[site.name].append(seen.rows(site, sweep.problem.dtype))
    return {name: (torch.cat([a for a, _ in rows]), torch.cat([d for _, d in rows])) for name, rows in found.items()}


def _moments(sweep: Sweep, records: Problem) -> dict[str, Pair]:
    rows = _rows(sweep, records)
    return {name: (_second(a), _second(d)) for name, (a, d) in rows.items()}


def _second(rows: Tensor) -> Tensor:
    return (rows.T @ rows).to(torch.float64) / len(rows)
