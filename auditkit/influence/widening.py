"""The same problem in float64, for what is small enough to be exact whatever the precision of the passes."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.measures import Evaluation
from auditkit.influence.problem import Problem

_WIDE = torch.float64


def widened_problem(problem: Problem) -> Problem:
    """The problem with its module in float64; its training rows stay as they are."""
    if problem.dtype == _WIDE:
        return problem
    return replace(problem, module=copy.deepcopy(problem.module).to(_WIDE), dtype=_WIDE)


def widened_rows(problem: Problem) -> Problem:
    """The problem with its module and its training rows in float64."""
    wide = widened_problem(problem)
    return replace(wide, inputs=tuple(_wide(t) for t in wide.inputs), targets=_wide(wide.targets))


def widened_evaluation(evaluation: Evaluation) -> Evaluation:
    """The evaluation rows in float64."""
    return replace(evaluation, inputs=tuple(_wide(t) for t in evaluation.inputs), targets=_wide(evaluation.targets))


def widened_curvature(curvature: BlockCurvature, problem: Problem) -> BlockCurvature:
    """The same blocks, seen at the layers of this problem's module."""
    layers, beside = dict(problem.module.named_modules()), curvature.beside
    sites = tuple(replace(site, layer=layers[site.name]) for site in curvature.sites)
    others = tuple(replace(site, layer=layers[site.name]) for site in beside.observed)
    return replace(curvature, problem=problem, sites=sites, beside=replace(beside, problem=problem, observed=others))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(_WIDE) if tensor.is_floating_point() else tensor
