"""Derivatives of the outputs along a few directions, by forward mode: all records at once, no per-record gradient.

One pass a direction gives J_n v for every record n (`torch.func.jvp` under `vmap` over directions). It pays where
directions are few and parameters many; the rule below counts operations and asks no clock, so that a run that is
resumed takes the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.func import jvp, vmap
from torch.utils.flop_counter import FlopCounterMode

from auditkit.influence.jacobian import no_fast_path, plain_attention, probe_gradients, quiet, rows_that_fit
from auditkit.influence.problem import Inputs, Problem

_PROBE_ROWS = 4
_PASSES_FORWARD = 2.5
"""A forward-mode pass in plain forward passes; 2.1 to 3.0 observed on attention of widths 32 to 256."""
_PASSES_REVERSE = 3.0
_PER_NUMBER = 256
"""Operations in whose time one number of a per-record gradient is written and read; 200 to 400 observed."""


def directional(problem: Problem, inputs: Inputs, directions: Mapping[str, Tensor]) -> Tensor:
    """[B, C, S] float64: derivatives of each record's outputs along S directions, by parameter [numbers, S].

    Parameters that are not named stay where they are. A module without forward rules raises RuntimeError.
    """
    values = problem.parameters()
    moving = {name: values[name] for name in directions}
    fixed = {name: value for name, value in values.items() if name not in moving}
    tangents = {
        name: part.T.reshape(-1, *values[name].shape).to(problem.dtype).contiguous()
        for name, part in directions.items()
    }

    def along(tangent: dict[str, Tensor], *rows: Tensor) -> Tensor:
        moved: Tensor = jvp(lambda p: problem.outputs(rows, {**fixed, **p}), (moving,), (tangent,))[1]
        return moved

    width = max(value.shape[0] if value.ndim else 1 for value in values.values())
    size = rows_that_fit(width * next(iter(directions.values())).shape[1])
    chunks = zip(*(torch.split(t, size) for t in inputs), strict=True)
    with quiet(), plain_attention():
        parts = [vmap(lambda t, rows=rows: along(t, *rows), out_dims=2)(tangents) for rows in chunks]
    return torch.cat(parts).detach().to(torch.float64)


def forward_pays(problem: Problem, names: Sequence[str], *, directions: int, probes: int) -> bool:
    """Whether S forward-mode passes take fewer operations than P·D' numbers of per-record gradients, and are right."""
    shapes = dict(zip(problem.layout.names, problem.layout.shapes, strict=True))
    numbers = sum(prod(shapes[name]) for name in names)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), no_fast_path():
        problem.outputs(problem.first(1))
    once = counter.get_total_flops()
    reverse = probes * (_PASSES_REVERSE * once + _PER_NUMBER * numbers)
    return directions * _PASSES_FORWARD * once < reverse and has_forward_rules(problem, names)


def has_forward_rules(problem: Problem, names: Sequence[str]) -> bool:
    """Whether forward mode works along these parameters, and agrees with reverse mode, on a few records.

    A table with a padding row is refused: reverse mode gives that row no gradient, forward mode does, and a few records
    need not meet it.
    """
    for key, layer in problem.module.named_modules(remove_duplicate=False):
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None and f"{key}.weight".lstrip(".") in names:
            return False
    inputs = problem.first(_PROBE_ROWS)
    rows, classes = len(inputs[0]), problem.classes
    spans, device = problem.layout.spans(), problem.targets.device
    waves = {
        name: torch.cos(torch.arange(spans[name].start, spans[name].stop, dtype=torch.float64, device=device))
        for name in names
    }
    try:
        found = directional(problem, inputs, {name: wave.unsqueeze(1) for name, wave in waves.items()})
    except (RuntimeError, NotImplementedError):
        return False
    probes = torch.sin(torch.arange(1, rows * classes + 1, dtype=torch.float64, device=device)).view(rows, classes, 1)
    gradients = probe_gradients(problem, inputs, probes, names)
    parts = [gradients[name].to(torch.float64) @ wave for name, wave in waves.items()]
    wanted = torch.stack(parts).sum(0)
    tolerance = 1e-8 if problem.dtype == torch.float64 else 1e-3
    own = (probes.transpose(1, 2) @ found)[:, :, 0]
    return bool((own - wanted).abs().max() <= tolerance * wanted.abs().max())
