"""The problem that every estimator solves: a trained module, its per-record loss, its training rows, its penalty.

Objective (removal form `fixed`: the other records keep weight 1/N when one is removed):

    F(theta) = 1/N sum_n w_n l_n(theta) + 1/2 sum_j lambda_j theta_j²

Legend used in this room: N training rows, M evaluation rows, B a batch, C outputs per record, D trainable parameters,
S measures, K root columns (K <= C).

A problem may hold a share of the N rows, the rest lying with other processes (`auditkit.processes`): N, and with it the
weight of a record, is then that of the whole, and what is summed over rows goes through `sharing.summed`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from auditkit.errors import AuditError, DataError, ModelError
from auditkit.influence.diagnosis import UNUSABLE, loss_refusal, module_refusal
from auditkit.influence.links import LINKS, Link, recognise
from auditkit.influence.roots import RootColumns
from auditkit.influence.shapes import checked_weights, rows_at_once, trailing_shape
from auditkit.pieces import Keep, Nothing
from auditkit.processes import ALONE, Processes

Inputs: TypeAlias = tuple[Tensor, ...]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Batch: TypeAlias = tuple[slice, Inputs, Tensor]
"""Positions of consecutive rows, their inputs and their targets."""

_NOWHERE = Nothing()
_ROOT = RootColumns()
_IDENTITY = LINKS["identity"]
_PROBE_ROWS = 8


@dataclass(frozen=True)
class Layout:
    """Where each trainable parameter lies in a flat vector [D]."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """D, the number of trainable parameters."""
        return sum(prod(shape) for shape in self.shapes)

    def spans(self) -> dict[str, slice]:
        """Name -> its positions in the flat vector."""
        spans, start = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            spans[name] = slice(start, start + prod(shape))
            start += prod(shape)
        return spans

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """[D] -> name -> tensor of the parameter's shape."""
        spans = self.spans()
        return {n: vector[spans[n]].view(s) for n, s in zip(self.names, self.shapes, strict=True)}


@dataclass(frozen=True)
class Problem:
    """A private copy of the model in eval mode with its training rows; made by `pose`, which refuses what is unfit."""

    module: nn.Module
    """Private copy: eval mode, `dtype`, no gradients of its own (they are taken functionally)."""
    loss: Loss
    """(outputs as the module gives them, targets [B] or [B, T]) -> [B], no reduction over records."""
    inputs: Inputs
    targets: Tensor
    weights: Tensor
    """[N] sample weights w_n, float64."""
    layout: Layout
    penalty: Tensor
    """[D] lambda_j, float64."""
    trailing: tuple[int, ...]
    """Shape of one record's output as the module gives it: () for [B], (C,) for [B, C], (T, C) for [B, T, C]."""
    dtype: torch.dtype
    batch: int
    root: RootColumns = _ROOT
    """From how many outputs on the root of the output Hessian is drawn at random (`sequences`)."""
    total: int | None = None
    """N where the rows here are a share of the training records; None: they are all of them."""
    start: int = 0
    """Position of the first row here among all N."""
    processes: Processes = ALONE
    """Those that hold the other rows."""
    sample: Inputs | None = None
    """A few records, the same in every process, on which decisions that all must share are taken; None: the first."""
    keep: Keep = _NOWHERE
    """Where finished sums over all records are left."""
    link: Link = _IDENTITY
    """How the outputs of the module turn into those in which the loss is differentiated (`links`)."""

    @property
    def n(self) -> int:
        """N, the number of training records of the objective; `len(targets)` of them are here."""
        return len(self.targets) if self.total is None else self.total

    @property
    def classes(self) -> int:
        """C, the number of outputs of one record; T·C for sequences."""
        return prod(self.trailing)

    def parameters(self) -> dict[str, Tensor]:
        """Trainable parameters by name, without gradient history."""
        own = dict(self.module.named_parameters())
        return {name: own[name].detach() for name in self.layout.names}

    def flat(self) -> Tensor:
        """[D] the trained parameters, float64."""
        return torch.cat([p.reshape(-1) for p in self.parameters().values()]).to(torch.float64)

    def outputs(self, inputs: Inputs, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """[B, C] canonical outputs (`links`), at the trained parameters or at others."""
        moving = {} if parameters is None else dict(parameters)
        given: Tensor = functional_call(self.module, moving, inputs) if moving else self.module(*inputs)
        return self.link.canonical(given).reshape(len(given), -1)

    def raw(self, outputs: Tensor) -> Tensor:
        """[B, C] canonical outputs -> outputs as the module gives them, which the loss and the score expect."""
        return self.link.mean(outputs.reshape(len(outputs), *self.trailing))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B] l_n of records with these canonical outputs [B, C], in their precision.

        Raises:
            ModelError: the loss cannot be computed for them, or gives no tensor.
        """
        given = self.raw(outputs)
        aims = targets.to(given.dtype) if targets.is_floating_point() else targets
        try:
            found: object = self.loss(given, aims)
        except AuditError:
            raise
        except UNUSABLE as reason:
            raise loss_refusal(given, aims, reason) from reason
        if not isinstance(found, Tensor):
            raise ModelError(f"the loss must give a tensor with one value per record; it gave {type(found).__name__}")
        return found

    def cast(self, tensors: Sequence[Tensor]) -> Inputs:
        """Floating tensors in this problem's precision; integer tensors (category codes) as they are."""
        return tuple(t.to(self.dtype) if t.is_floating_point() else t for t in tensors)

    def rows(self, size: int | None = None) -> Iterator[Batch]:
        """Training rows that are here, in order, in batches: (positions among these rows, inputs, targets)."""
        return batches(self.inputs, self.targets, size or self.batch)

    def first(self, count: int) -> Inputs:
        """A few records to try things on, at most `count`; the same ones in every process."""
        return self.cast([t[:count] for t in (self.inputs if self.sample is None else self.sample)])


def batches(inputs: Inputs, targets: Tensor, size: int) -> Iterator[Batch]:
    """Consecutive rows, `size` at a time: (positions, inputs, targets)."""
    for start in range(0, len(targets), max(1, size)):
        at = slice(start, min(start + max(1, size), len(targets)))
        yield at, tuple(t[at] for t in inputs), targets[at]


def filled(gradient: Tensor | None, like: Tensor) -> Tensor:
    """The gradient, or zeros where autograd found no dependence (`allow_unused`)."""
    return torch.zeros_like(like) if gradient is None else gradient


def pose(
    module: nn.Module,
    loss: Loss,
    inputs: Sequence[Tensor],
    targets: Tensor,
    *,
    weight_decay: float | Mapping[str, float] = 0.0,
    weights: Tensor | None = None,
    batch: int = 512,
    dtype: torch.dtype = torch.float64,
    root: RootColumns | None = None,
    processes: Processes = ALONE,
    keep: Keep = _NOWHERE,
    every_loss: bool = True,
) -> Problem:
    """State the problem, or refuse it with every reason that can be found without training.

    Args:
        module: trained, in eval mode; called as `module(*inputs)`; outputs [B], [B, C] or [B, T, C]. Not changed.
        loss: per-record loss in nats, (outputs, targets) -> [B], no reduction; its Hessian in the outputs is PSD.
        inputs: training inputs, each [N, ...]; targets: [N].
        weight_decay: lambda of the objective over all trainable parameters, or by parameter name (others 0).
        weights: w_n >= 0 of the objective; None is ones.
        batch: rows per pass; changes time and memory, not results.
        dtype: precision of the passes; curvature is always accumulated and decomposed in float64.
        root: up to how many outputs all columns of the root are used, and how many mixed ones stand for more; None
            goes by the number of records.
        processes: those that were each given a share of the rows, in the order of their ranks; every one of them poses.
        keep: where finished sums are left.
        every_loss: look at every record's loss now; False where the caller refuses non-finite losses in its own pass.

    Raises:
        ModelError: no trainable parameter, training-mode layers, outputs that depend on the rest of the batch or on
            chance, a loss that is not per record, an L2 for an unknown parameter, values that are not finite.
        DataError: rows that do not match in number, weights that are negative or not finite.
    """
    from auditkit.influence.refusals import check_module, check_posed
    from auditkit.influence.sharing import shared

    check_module(module)
    own = _private_copy(module, dtype)
    trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not trainable:
        raise ModelError("the module has no trainable parameter (all have requires_grad=False)")
    layout = Layout(tuple(trainable), tuple(tuple(p.shape) for p in trainable.values()))
    rows = tuple(t.to(dtype) if t.is_floating_point() else t for t in inputs)
    aims = targets.to(dtype) if targets.is_floating_point() else targets
    if len(aims) < 2 or any(len(t) != len(aims) for t in rows):
        raise DataError(f"inputs {[len(t) for t in rows]} and targets {len(aims)} differ in rows, or are fewer than 2")
    # A fork keeps a module that draws at random (refused below) from disturbing the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        try:
            trailing = trailing_shape(own, rows)
        except UNUSABLE as reason:
            raise module_refusal(module, inputs, dtype, reason) from reason
        known = root or RootColumns.of(int(processes.sum(torch.tensor(len(aims), device=aims.device))))
        problem = Problem(
            module=own,
            loss=loss,
            inputs=rows,
            targets=aims,
            weights=checked_weights(weights, len(aims)).to(aims.device),
            layout=layout,
            penalty=_penalty(weight_decay, layout).to(aims.device),
            trailing=trailing,
            dtype=dtype,
            batch=rows_at_once(batch, trailing, [shape[0] for shape in layout.shapes if shape], known),
            root=known,
            keep=keep,
        )
        problem = linked(problem, processes)
        check_posed(problem, every_loss=every_loss or problem.link.name == "logit")
    return shared(problem, processes)


def _private_copy(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    try:
        own = copy.deepcopy(module).to(dtype).eval()
    except (RuntimeError, TypeError) as reason:
        raise ModelError(f"the module cannot be copied for the influence engine: {reason}") from reason
    for layer in own.modules():
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
            layer.sparse = False  # The same gradients, in the only layout that the engine reads.
    return own.requires_grad_(False)


def linked(problem: Problem, processes: Processes) -> Problem:
    """The problem with its outputs restated where the loss has a curvature, decided alike in all processes."""
    rows = min(_PROBE_ROWS, len(problem.targets))
    with torch.no_grad():
        given = problem.outputs(tuple(t[:rows].clone() for t in problem.inputs))
        outputs = given.reshape(rows, *problem.trailing).to(torch.float64)
        link = recognise(problem.loss, outputs, problem.targets[:rows], tolerance=rounding(problem.dtype))
    votes = torch.tensor([name == link.name for name in LINKS], device=problem.targets.device).to(torch.int64)
    unanimous = bool(processes.sum(votes).max() == processes.size)
    return replace(problem, link=link) if unanimous else problem


def rounding(dtype: torch.dtype) -> float:
    """How far two passes over the same records may differ, relative and absolute, in this precision."""
    return 1e-8 if dtype == torch.float64 else 1e-4


def _penalty(weight_decay: float | Mapping[str, float], layout: Layout) -> Tensor:
    if isinstance(weight_decay, Mapping):
        unknown = sorted(set(weight_decay) - set(layout.names))
        if unknown:
            raise ModelError(f"weight decay names parameters that the module does not train: {', '.join(unknown)}")
        by_name = {name: float(weight_decay.get(name, 0.0)) for name in layout.names}
    else:
        by_name = dict.fromkeys(layout.names, float(weight_decay))
    if any(not 0 <= value < float("inf") for value in by_name.values()):
        raise ModelError("weight decay must be finite and not negative")
    sizes = [prod(shape) for shape in layout.shapes]
    return torch.repeat_interleave(
        torch.tensor([by_name[name] for name in layout.names], dtype=torch.float64), torch.tensor(sizes)
    )
