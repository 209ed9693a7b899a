"""The one file with hooks: what goes into and comes out of Linear and Embedding layers, record by record.

A forward hook keeps each call's input and output; output gradients are then taken by `autograd.grad` in the outputs, so
no parameter gradient is ever formed. A layer called twice has two calls, whose contributions are summed. The layers
served are only those for which the factored gradient is *verified* against autograd on a few records: a layer whose
weight is also used in another way (tied, read directly, re-parametrised) fails that check and goes the generic way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.influence.problem import Inputs, Problem, filled

_PROBE_ROWS = 8


@dataclass(frozen=True)
class Site:
    """A layer with Kronecker structure and the names of its parameters."""

    name: str
    layer: nn.Linear | nn.Embedding
    weight: str
    bias: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its parameters."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def is_embedding(self) -> bool:
        """Whether its inputs are category codes."""
        return isinstance(self.layer, nn.Embedding)


@dataclass
class Trace:
    """One forward pass with the calls of each site, still attached to the graph."""

    outputs: Tensor
    """[B, C]"""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def inputs(self, site: Site) -> Tensor:
        """[B, T, i] inputs (1 appended when there is a bias) or [B, T] codes; T runs over shared positions."""
        rows = len(self.outputs)
        found = [
            given.reshape(rows, -1) if site.is_embedding else given.reshape(rows, -1, given.shape[-1])
            for given, _ in self.calls[site.name]
        ]
        joined = torch.cat(found, dim=1)
        if site.is_embedding:
            return joined
        joined = joined.to(torch.float64)
        return joined if site.bias is None else torch.cat([joined, torch.ones_like(joined[..., :1])], dim=2)

    def gradients(self, sites: Sequence[Site], probes: Tensor) -> dict[str, Tensor]:
        """Site -> [B, P, T, o] float64: gradients of probesᵀ outputs in the site's outputs, for probes [B, C, P]."""
        flat = [output for site in sites for _, output in self.calls[site.name]]
        columns = []
        for p in range(probes.shape[2]):
            found: Sequence[Tensor | None] = [None] * len(flat)
            if self.outputs.requires_grad and flat:
                target = (self.outputs * probes[:, :, p].to(self.outputs.dtype)).sum()
                found = torch.autograd.grad(target, flat, retain_graph=True, allow_unused=True)
            columns.append([filled(g, o) for g, o in zip(found, flat, strict=True)])
        return self._by_site(sites, columns)

    def _by_site(self, sites: Sequence[Site], columns: list[list[Tensor]]) -> dict[str, Tensor]:
        rows, start, result = len(self.outputs), 0, {}
        for site in sites:
            stop = start + len(self.calls[site.name])
            per_probe = [
                torch.cat([g.reshape(rows, -1, g.shape[-1]) for g in column[start:stop]], dim=1) for column in columns
            ]
            result[site.name] = torch.stack(per_probe, dim=1).to(torch.float64)
            start = stop
        return result


def candidate_sites(module: nn.Module, trainable: Sequence[str]) -> tuple[Site, ...]:
    """Linear and Embedding layers whose own parameters are all trainable and belong to no other module."""
    owners: dict[int, int] = {}
    for _, parameter in module.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    sites = []
    for name, layer in module.named_modules():
        if not (isinstance(layer, (nn.Linear, nn.Embedding)) and _is_plain(layer)):
            continue
        own = {key: f"{name}.{key}" if name else key for key, _ in layer.named_parameters(recurse=False)}
        parameters = dict(layer.named_parameters(recurse=False))
        if "weight" in own and all(own[k] in trainable and owners[id(parameters[k])] == 1 for k in own):
            sites.append(Site(name, layer, own["weight"], own.get("bias")))
    return tuple(sites)


def _is_plain(layer: nn.Linear | nn.Embedding) -> bool:
    if isinstance(layer, nn.Embedding):
        return type(layer).forward is nn.Embedding.forward and layer.max_norm is None and not layer.scale_grad_by_freq
    return type(layer).forward is nn.Linear.forward


def trace(problem: Problem, sites: Sequence[Site], inputs: Inputs) -> Trace:
    """Run B records once and keep what the sites saw."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {site.name: [] for site in sites}
    with torch.enable_grad(), _hooked(sites, calls):
        outputs = problem.outputs(inputs)
    return Trace(outputs, calls)


@contextmanager
def _hooked(sites: Sequence[Site], calls: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[None]:
    handles = [site.layer.register_forward_hook(_keep(calls[site.name]), with_kwargs=True) for site in sites]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep(calls: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], Tensor]:
    def hook(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Tensor:
        kept = output if output.requires_grad else output.detach().requires_grad_()
        calls.append(((given[0] if given else named["input"]).detach(), kept))
        # A clone goes on: an activation that writes in place would otherwise overwrite the tensor differentiated in.
        onward: Tensor = kept.clone()
        return onward

    return hook


def verified_sites(problem: Problem) -> tuple[Site, ...]:
    """The candidate sites whose factored per-record gradients agree with autograd on a few records.

    Each record gets a weight of its own, so that a layer that mixes records (batch not in front) is found too.
    Sites that are never called are not among them; see `unused_sites`.
    """
    rows = min(_PROBE_ROWS, problem.n)
    inputs = tuple(t[:rows] for t in problem.inputs)
    sites = candidate_sites(problem.module, problem.layout.names)
    probes = _record_weights(problem, rows)
    seen = trace(problem, sites, inputs)
    called = [s for s in sites if seen.calls[s.name] and _batch_in_front(seen, s, rows)]
    truth = parameter_gradients(problem, inputs, probes)
    factored = seen.gradients(called, probes)
    tolerance = 1e-8 if problem.dtype == torch.float64 else 1e-3
    kept = []
    for site in called:
        own = site_gradient(site, seen.inputs(site), factored[site.name][:, 0]).sum(0)
        wanted = site_matrices(site, {n: truth[n].unsqueeze(-1) for n in site.names})[0]
        if bool((own - wanted).abs().max() <= tolerance * (1e-12 + wanted.abs().max())):
            kept.append(site)
    return tuple(kept)


def unused_sites(problem: Problem) -> tuple[Site, ...]:
    """Candidate sites that a forward pass never calls and on whose parameters the outputs do not depend."""
    rows = min(_PROBE_ROWS, problem.n)
    inputs = tuple(t[:rows] for t in problem.inputs)
    sites = candidate_sites(problem.module, problem.layout.names)
    seen = trace(problem, sites, inputs)
    truth = parameter_gradients(problem, inputs, _record_weights(problem, rows))
    return tuple(s for s in sites if not seen.calls[s.name] and all(not truth[n].any() for n in s.names))


def parameter_gradients(problem: Problem, inputs: Inputs, probes: Tensor) -> dict[str, Tensor]:
    """Name -> gradient of sum_n probes_nᵀ outputs_n [B, C, 1] in each trainable parameter, float64, by autograd."""
    moving = {name: p.clone().requires_grad_() for name, p in problem.parameters().items()}
    with torch.enable_grad():
        total = (problem.outputs(inputs, moving) * probes[:, :, 0].to(problem.dtype)).sum()
    found = torch.autograd.grad(total, list(moving.values()), allow_unused=True)
    pairs = zip(moving.items(), found, strict=True)
    return {name: filled(g, p).to(torch.float64) for (name, p), g in pairs}


def site_gradient(site: Site, given: Tensor, gradients: Tensor) -> Tensor:
    """[B, o, i] per-record gradients of a site from inputs [B, T, i] (or codes [B, T]) and output gradients [B, T, o].

    An Embedding's i runs over its rows and its o over its columns, so its weight [V, e] is the transpose.
    """
    if not site.is_embedding:
        return torch.einsum("bto,bti->boi", gradients, given)
    rows, _, width = gradients.shape
    total = torch.zeros(rows, site.layer.weight.shape[0], width, dtype=torch.float64, device=gradients.device)
    total.scatter_add_(1, given.unsqueeze(2).expand_as(gradients), gradients)
    if isinstance(site.layer, nn.Embedding) and site.layer.padding_idx is not None:
        total[:, site.layer.padding_idx] = 0.0
    return total.transpose(1, 2)


def site_matrices(site: Site, parts: Mapping[str, Tensor]) -> Tensor:
    """[K, o, i] from K stacked values of the site's parameters, each of the parameter's shape with K behind it."""
    weight = parts[site.weight]
    if site.is_embedding:
        return weight.permute(2, 1, 0)
    if site.bias is None:
        return weight.permute(2, 0, 1)
    return torch.cat([weight, parts[site.bias].unsqueeze(1)], dim=1).permute(2, 0, 1)


def site_parts(site: Site, matrices: Tensor) -> dict[str, Tensor]:
    """The inverse of `site_matrices`."""
    if site.is_embedding:
        return {site.weight: matrices.permute(2, 1, 0)}
    if site.bias is None:
        return {site.weight: matrices.permute(1, 2, 0)}
    return {site.weight: matrices[:, :, :-1].permute(1, 2, 0), site.bias: matrices[:, :, -1].T}


def _record_weights(problem: Problem, rows: int) -> Tensor:
    grid = torch.arange(1, rows * problem.classes + 1, dtype=torch.float64, device=problem.targets.device)
    return torch.sin(grid).view(rows, problem.classes, 1)


def _batch_in_front(seen: Trace, site: Site, rows: int) -> bool:
    return all(given.shape[0] == rows and output.shape[0] == rows for given, output in seen.calls[site.name])
