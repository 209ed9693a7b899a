"""What a pass may leave out, and the error that this costs.

Slices are tried on a sample of records before the pass. The sample is chosen by content (`sampling`), so it does not
depend on the order of rows or on batches. Part of it gives the second moments that weigh a truncation, the rest
measures: scores of the pass as it will be run against scores recomputed in float64 with nothing left out. A form is
taken only if its measured error is within `MARGIN` of the tolerance; else the next more exact one is tried, and the
last one leaves nothing out. What may be left out of them: directions of a layer's slices (`compression`) and, where the
processor has bfloat16, the last bits of the factors of these products.

Self-influence is used record by record, the largest first, so a sample decides nothing there: terms of an inverse block
are left out only as far as no record whatever can be off by more than `MARGIN` of the tolerance (`lengths`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.arithmetic import bfloat16_pays
from auditkit.influence.compression import WORTHWHILE, Contraction, worthwhile
from auditkit.influence.lengths import OwnLength
from auditkit.influence.partial import fit_quality
from auditkit.influence.problem import Problem
from auditkit.influence.samples import Sample, products_of, relative
from auditkit.influence.sweep import Sweep, site_directions
from auditkit.influence.widening import widened_curvature
from auditkit.result import Quality

MARGIN = 0.75
"""Share of the tolerance that the error measured on the sample may take, because all records may have more."""
_BUDGETS = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1)
"""Share of the squared tolerance that may be left out on either side of all layers, tried in this order."""
_DECOMPOSE = 30
"""Products that decomposing an inverse block costs for each of its entries and each unit of its smaller width."""


@dataclass(frozen=True)
class Trial:
    """A sweep as it will be run, and what it costs in exactness on the sample."""

    sweep: Sweep
    quality: tuple[Quality, ...]


def rehearse(sweep: Sweep, gradients: Tensor, *, tolerance: float) -> Trial:
    """The cheapest form of this sweep whose scores stay within the tolerance, and its measured error.

    Args:
        sweep: with nothing left out. gradients: [D, S] what its directions were solved from.
        tolerance: largest relative error ‖ŝ − s‖ / ‖s‖ of a column, and of any record's self-influence; 0 leaves
            nothing out.
    """
    compress = tolerance > 0 and _heavy(sweep.problem, sweep)
    if sweep.problem.dtype == torch.float64 and sweep.curvature.quarter is None and not compress:
        return Trial(sweep, (uncompressed(tolerance),))
    sample = Sample.of(sweep)
    said = [*_precision(sample), *_settled(sample, gradients)]
    found, words = sweep, []
    for contractions, what in _forms(sample, tolerance) if compress else ():
        if sample.scores_with(contractions) <= MARGIN * tolerance:
            found, words = replace(found, contractions={**sweep.contractions, **contractions}), [what]
            break
    if compress and sweep.own:
        own, terms = own_forms(sweep, tolerance)
        found, words = replace(found, own={**sweep.own, **own}), [*words, *terms]
    return Trial(found, (*said, _compression(sample, found, words, tolerance)))


def _heavy(problem: Problem, sweep: Sweep) -> tuple[str, ...]:
    """Single-row sites that cost so much over all records that leaving something out may pay."""
    count = max(1, sweep.directions.shape[1])
    sites = [site for site in sweep.curvature.sites if site.name in sweep.contractions]
    return tuple(site.name for site in sites if worthwhile(problem.n, count, *site.shape))


def _forms(sample: Sample, tolerance: float) -> Iterator[tuple[Mapping[str, Contraction], str]]:
    """Contractions of the heavy sites, cheapest first, each with its words."""
    sweep = sample.sweep
    names, dtype = _heavy(sweep.problem, sweep), sweep.problem.dtype
    sites = {site.name: site for site in sweep.curvature.sites if site.name in names}
    spectra = {name: sample.spectrum(name) for name in names}
    rounded = {}
    if bfloat16_pays(sweep.directions.device) and dtype != torch.float64:
        for name, site in sites.items():
            directions = site_directions(sweep.problem, site, sweep.directions)
            rounded[name] = Contraction.full(directions, torch.bfloat16)
    found = []
    for budget in _BUDGETS:
        cut = {name: spectrum.truncated(budget * tolerance**2, dtype) for name, spectrum in spectra.items()}
        found.append(_cheapest(sweep, cut, {}))
        if rounded:
            both = {name: None if small is None else small.to(torch.bfloat16) for name, small in cut.items()}
            found += [_cheapest(sweep, cut, rounded), _cheapest(sweep, both, rounded)]
    for _, form, words in sorted(found, key=lambda one: one[0]):
        if form:
            yield form, words


def _cheapest(
    sweep: Sweep, cut: Mapping[str, Contraction | None], rounded: Mapping[str, Contraction]
) -> tuple[float, dict[str, Contraction], str]:
    """Products a record (one in bfloat16 counts half), the form of each site that has one, and words."""
    total, form, words = 0.0, dict[str, Contraction](), []
    for name, small in cut.items():
        whole = sweep.contractions[name]
        chosen = min((c for c in (whole, small, rounded.get(name)) if c is not None), key=lambda c: c.cost)
        total += chosen.cost
        if chosen is not whole:
            form[name] = chosen
            ranks = "" if chosen.left is None else "at ranks {} x {} of {} x {}".format(*chosen.shape, *whole.shape)
            low = "" if chosen.cost == chosen.products else "in bfloat16"
            words.append(" ".join(part for part in (name, ranks, low) if part))
    return total, form, "slices of " + ", ".join(words)


def own_forms(sweep: Sweep, tolerance: float) -> tuple[dict[str, OwnLength], list[str]]:
    """Inverse blocks in few terms, of the layers where that pays, and words."""
    forms = dict[str, OwnLength]()
    for name, form in sweep.own.items():
        products, narrow = 2 * sweep.problem.n * form.whole.numel(), min(form.whole.shape)
        if products > max(WORTHWHILE, _DECOMPOSE * form.whole.numel() * narrow):
            short = form.compressed(MARGIN * tolerance)
            if short.inverse is not None:
                forms[name] = short
    terms = ", ".join(f"{name} in {len(form.inverse[0].T)}" for name, form in forms.items() if form.inverse is not None)
    return forms, [f"inverse blocks in few terms ({terms})"] if terms else []


def _precision(sample: Sample) -> tuple[Quality, ...]:
    sweep = sample.sweep
    if sweep.problem.dtype == torch.float64:
        return ()
    effects, own = sample.scores_with({}), sample.lengths_with({})[0] if sweep.own else 0.0
    name = str(sweep.problem.dtype).removeprefix("torch.")
    text = (
        f"Passes run in {name}. Against {len(sample.true_scores):,} records recomputed in float64, the scores of the "
        f"slice where it is largest differ by {effects:.1e} of their norm"
        + (f", self-influence by {own:.1e}." if sweep.own else ".")
    )
    return (Quality(name="precision", value=max(effects, own), text=text),)


def _settled(sample: Sample, gradients: Tensor) -> tuple[Quality, ...]:
    """How far the scores of the sample rest on the part of the records that the curvature was fitted on."""
    sweep, quarter = sample.sweep, sample.sweep.curvature.quarter
    if quarter is None:
        return ()
    problem = replace(sample.measured, module=sweep.problem.module)
    other = Sweep.of(problem, widened_curvature(quarter, problem), quarter.solve(gradients), own=bool(sweep.own))
    scores, own = products_of(other, problem)
    away = relative(scores, sample.true_scores)
    own_away = relative(own.unsqueeze(1), sample.true_lengths.unsqueeze(1)) if sweep.own else None
    return fit_quality(sweep.problem.n, sweep.curvature, away, own_away)


def uncompressed(tolerance: float) -> Quality:
    """Said where nothing was left out, and nothing but rounding in float64 was there to be measured."""
    text = f"Scores are not compressed; they meet the tolerance of {tolerance:g} up to rounding in float64."
    return Quality(name="compression", value=0.0, text=text)


def _compression(sample: Sample, found: Sweep, words: list[str], tolerance: float) -> Quality:
    before = sample.sweep
    effects = sample.scores_with({n: c for n, c in found.contractions.items() if c is not before.contractions[n]})
    most = max((form.error for form in found.own.values() if form.inverse is not None), default=0.0)
    form = "; ".join(words) if words else "nothing is left out"
    text = (
        f"Against {len(sample.true_scores):,} records with nothing left out, in float64, the scores of the slice where "
        f"it is largest differ by {effects:.1e} of their norm"
    )
    if found.own:
        mean, largest = sample.lengths_with({n: form for n, form in found.own.items() if form is not before.own[n]})
        text += f", self-influence by {mean:.1e} and that of a single record by at most {largest:.1e} of itself"
        text += f"; no record's can be off by more than {most:.1e} by what is left out" if most else ""
        effects = max(effects, mean, most)
    text += f"; tolerance {tolerance:g}. Form: {form}."
    return Quality(name="compression", value=effects, text=text, warns=effects > tolerance > 0)
