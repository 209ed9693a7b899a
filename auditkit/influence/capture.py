"""The one file with hooks: what goes into and comes out of layers of known kinds (`sites`), record by record.

A forward hook keeps each call's input and output; output gradients are then taken by `autograd.grad` in the outputs, so
no parameter gradient is ever formed. A layer called twice has two calls, whose contributions are summed. The layers
served are only those for which the per-record gradient is *verified* against autograd on a few records: a layer whose
weight is also used in another way (tied, read directly, re-parametrised) fails that check and goes the generic way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.influence.jacobian import no_fast_path, parameter_gradients, rows_that_fit
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.sites.kinds import sites_of
from auditkit.influence.sites.site import Observed, Site

__all__ = ["Observed", "Site"]

_PROBE_ROWS = 8
_NUMBERS = 2**22


@dataclass
class Trace:
    """One forward pass with the calls of each site, still attached to the graph."""

    outputs: Tensor
    """[B, C]"""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def inputs(self, site: Observed, dtype: torch.dtype = torch.float64) -> Tensor:
        """[B, T, i] inputs (1 appended when there is a bias) or [B, T] codes; T runs over shared positions."""
        rows = len(self.outputs)
        found = [site.rows_in(given, rows, dtype) for given, _ in self.calls[site.name]]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    def gradients(
        self, sites: Sequence[Observed], probes: Tensor, dtype: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        """Layer -> [B, P, T, o]: gradients of probesᵀ outputs in the site's outputs, for probes [B, C, P]."""
        flat = [output for site in sites for _, output in self.calls[site.name]]
        found = {site.name: self._room(site, probes.shape[2], dtype) for site in sites}
        for p in range(probes.shape[2]):
            columns: Sequence[Tensor | None] = [None] * len(flat)
            if self.outputs.requires_grad and flat:
                target = (self.outputs * probes[:, :, p].to(self.outputs.dtype)).sum()
                columns = torch.autograd.grad(target, flat, retain_graph=True, allow_unused=True)
            self._place(sites, columns, {name: room[:, p] for name, room in found.items()})
        return found

    def _room(self, site: Observed, probes: int, dtype: torch.dtype) -> Tensor:
        """[B, P, T, o], not filled; in memory as the layer's outputs lie, so that filling it is copying."""
        rows = len(self.outputs)
        outputs = [site.rows_out(output, rows) for _, output in self.calls[site.name]]
        positions, width = sum(output.shape[1] for output in outputs), outputs[0].shape[2]
        if outputs[0].stride(1) == 1:
            room = torch.empty(rows, probes, width, positions, dtype=dtype, device=self.outputs.device)
            return room.transpose(2, 3)
        return torch.empty(rows, probes, positions, width, dtype=dtype, device=self.outputs.device)

    def _place(self, sites: Sequence[Observed], columns: Sequence[Tensor | None], rooms: Mapping[str, Tensor]) -> None:
        """Copy the gradients in the outputs of all calls to their places [B, T, o]; zeros where there is none."""
        rows, left = len(self.outputs), iter(columns)
        for site in sites:
            start = 0
            for _, output in self.calls[site.name]:
                gradient, width = next(left), output.numel() // (rows * rooms[site.name].shape[2])
                rooms[site.name][:, start : start + width] = 0.0 if gradient is None else site.rows_out(gradient, rows)
                start += width


def trace(problem: Problem, sites: Sequence[Observed], inputs: Inputs) -> Trace:
    """Run B records once and keep what the sites saw."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {site.name: [] for site in sites}
    with torch.enable_grad(), no_fast_path(), _hooked(sites, calls):
        outputs = problem.outputs(inputs)
    return Trace(outputs, calls)


@contextmanager
def _hooked(sites: Sequence[Observed], calls: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[None]:
    handles = [site.layer.register_forward_hook(_keep(calls[site.name]), with_kwargs=True) for site in sites]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep(calls: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], Tensor]:
    def hook(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Tensor:
        kept = output if output.requires_grad else output.detach().requires_grad_()
        calls.append(((given[0] if given else next(iter(named.values()))).detach(), kept))
        # A clone goes on: an activation that writes in place would otherwise overwrite the tensor differentiated in.
        onward: Tensor = kept.clone()
        return onward

    return hook


def candidate_sites(module: nn.Module, trainable: Sequence[str]) -> tuple[Site, ...]:
    """Linear, Embedding and convolution layers whose own parameters are all trainable and belong to no other module."""
    return tuple(site for site in sites_of(module, trainable) if isinstance(site, Site))


def verified_sites(problem: Problem) -> tuple[Site, ...]:
    """Sites with Kronecker structure among the observed ones."""
    return tuple(site for site in observed_sites(problem) if isinstance(site, Site))


def observed_sites(problem: Problem) -> tuple[Observed, ...]:
    """The sites of every kind whose per-record gradients agree with autograd on a few records.

    Each record gets a weight of its own, so that a layer that mixes records (batch not in front) is found too.
    Sites that are never called are not among them; see `unused_sites`.
    """
    inputs = problem.first(_PROBE_ROWS)
    rows = len(inputs[0])
    sites = sites_of(problem.module, problem.layout.names)
    probes = _record_weights(problem, rows)
    seen = trace(problem, sites, inputs)
    called = [s for s in sites if seen.calls[s.name] and all(s.fits(*call, rows) for call in seen.calls[s.name])]
    truth = parameter_gradients(problem, inputs, probes)
    found = seen.gradients(called, probes)
    # A GPU's convolutions in float32 keep ten bits of the factors unless the caller forbids it.
    coarse = 1e-2 if problem.targets.is_cuda else 1e-3
    tolerance = 1e-8 if problem.dtype == torch.float64 else coarse
    return tuple(site for site in called if _agrees(site, seen.inputs(site), found[site.name], truth, tolerance))


def _agrees(site: Observed, given: Tensor, gradients: Tensor, truth: Mapping[str, Tensor], tolerance: float) -> bool:
    """Whether the site's gradient, summed over records, is autograd's."""
    # All positions of all records as one record's: its gradient is the sum, and no record's own is formed.
    own = site.record_gradients(given.flatten(0, 1)[None], gradients[:, 0].flatten(0, 1)[None, None])
    scale = max(float(truth[name].abs().max()) for name in own)
    away = max(float((part.flatten() - truth[name].flatten()).abs().max()) for name, part in own.items())
    return away <= tolerance * (1e-12 + scale)


def unused_sites(problem: Problem) -> tuple[Observed, ...]:
    """Sites that a forward pass never calls and on whose parameters the outputs do not depend."""
    inputs = problem.first(_PROBE_ROWS)
    sites = sites_of(problem.module, problem.layout.names)
    seen = trace(problem, sites, inputs)
    idle = [site for site in sites if not seen.calls[site.name]]
    if not idle:
        return ()
    truth = parameter_gradients(problem, inputs, _record_weights(problem, len(inputs[0])))
    return tuple(site for site in idle if all(not truth[n].any() for n in site.names))


def rows_at_once(problem: Problem, sites: Sequence[Observed]) -> int:
    """Records a pass may take at once so that the largest array a site hands on stays near 32 MiB.

    On a CPU larger ones are mapped anew by the system at every pass, which costs more than filling them.
    """
    if not sites:
        return problem.batch
    seen = trace(problem, sites, problem.first(1))
    probes = problem.classes if problem.classes <= problem.root.limit else problem.root.probes
    largest = 1
    for site in sites:
        given = seen.inputs(site)
        outputs = sum(output.numel() for _, output in seen.calls[site.name])
        largest = max(largest, given.numel(), probes * outputs)
    return min(problem.batch, rows_that_fit(largest, _NUMBERS))


def site_matrices(site: Site, parts: Mapping[str, Tensor]) -> Tensor:
    """[K, o, i] from K stacked values of the site's parameters, each of the parameter's shape with K behind it."""
    return site.matrices(parts)


def site_parts(site: Site, matrices: Tensor) -> dict[str, Tensor]:
    """The inverse of `site_matrices`."""
    return site.parts(matrices)


def _record_weights(problem: Problem, rows: int) -> Tensor:
    grid = torch.arange(1, rows * problem.classes + 1, dtype=torch.float64, device=problem.targets.device)
    return torch.sin(grid).view(rows, problem.classes, 1)
