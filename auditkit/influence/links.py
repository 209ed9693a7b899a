"""Outputs that are parameters of a distribution (probabilities, rates), restated where the loss has a curvature.

A module that ends in log-softmax with the negative log-likelihood as its loss is the same function of its parameters as
one that ends in logits with cross-entropy. Yet its loss is linear in its outputs, so that the Gauss-Newton matrix taken
there is 0; taken at probabilities it is the empirical Fisher matrix. Both leave out what the last normalisation bends.
The engine therefore moves the cut between model and loss to the canonical parameter z of the distribution:

    outputs o                        z                        o = mean(z)      Hessian of the loss in z
    log-probabilities [.., C]        o - mean over C of o     log_softmax z    c (diag p - p p')
    probabilities that sum to 1      log o, centred alike     softmax z        c (diag p - p p')
    probabilities, each of a label   log o - log(1 - o)       sigmoid z        c p (1 - p)
    rates                            log o                    exp z            c exp z

z is affine in the logits, loss(mean(z)) is the same number as loss(o), and the matrix is J'(diag p - p p')J whether
J is of the logits or of z: they differ by a multiple of the vector of ones, which diag p - p p' sends to 0.

A link is taken only where the *loss* says so: its Hessian in z, at outputs of our own choosing, must be the one above
with a factor c >= 0 that depends on the target alone (`recognise`). Squared loss on probabilities is left as it is.
Source: McCullagh & Nelder 1989, section 2.2 (canonical links); Martens 2020, section 9.

Wrong when: probabilities are so close to 0 or 1 that their logits are lost: `saturated` counts such records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.errors import AuditError

Function = Callable[[Tensor], Tensor]
Bend = Callable[[Tensor, Tensor], Tensor]
PerRecord = Callable[[Tensor, Tensor], Tensor]

_DRAWS = 2
_SAME = 1e-4
"""A loss may hold a small constant inside its logarithm."""
_VANISHING = 1e-12
_LOST = 1e-12


@dataclass(frozen=True)
class Link:
    """How outputs as the module gives them [B, ...] and canonical outputs of the same shape turn into each other."""

    name: str
    canonical: Function
    mean: Function
    admits: Callable[[Tensor, float], bool]
    """Whether outputs can be parameters of this kind, within a tolerance."""
    curve: Bend | None
    """(z, v) -> the Hessian in z times v, for c = 1; None for the identity."""
    shared: bool
    """Whether one factor c holds for the last dimension together; else each output has its own."""
    text: str = ""
    """What a report says of it."""


def recognise(loss: PerRecord, outputs: Tensor, targets: Tensor, *, tolerance: float) -> Link:
    """The link of outputs [B, ...] under this loss; the identity where none is the loss's own.

    Args:
        loss: (outputs as the module gives them, targets) -> [B]. outputs: of a few records. targets: theirs.
        tolerance: how far sums of probabilities may lie from 1 by rounding.
    """
    aims = targets.to(torch.float64) if targets.is_floating_point() else targets
    for link in LINKS.values():
        if link.curve is not None and link.admits(outputs, tolerance) and _is_loss_of(link, loss, outputs, aims):
            return link
    return LINKS["identity"]


def is_likelihood(loss: PerRecord, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the loss is the negative log-likelihood of one of these distributions in its canonical outputs [B, ...].

    Such a loss is curved everywhere: where its curvature vanishes to rounding, the model lies far out.
    """
    aims = targets.to(torch.float64) if targets.is_floating_point() else targets
    plain = (replace(link, mean=_same) for link in LINKS.values() if link.curve is not None)
    return any(_is_loss_of(link, loss, outputs, aims) for link in plain if not link.shared or _several(outputs))


def saturated(link: Link, outputs: Tensor) -> Tensor:
    """[B] whether some output of the record [B, ...] lies where its canonical parameter is lost.

    Torch's BCELoss bounds p (1 - p) below by 1e-12 in its slope, and in single precision 1 - p is 0 before that.
    """
    if link.name != "logit":
        return torch.zeros(len(outputs), dtype=torch.bool, device=outputs.device)
    return (outputs * (1 - outputs) <= _LOST).reshape(len(outputs), -1).any(1)


def _is_loss_of(link: Link, loss: PerRecord, outputs: Tensor, targets: Tensor) -> bool:
    factors = []
    for draw in range(_DRAWS):
        chance = torch.Generator().manual_seed(draw)
        z = torch.randn(outputs.shape, generator=chance, dtype=torch.float64).to(outputs.device)
        vector = torch.randn(outputs.shape, generator=chance, dtype=torch.float64).to(outputs.device)
        factor = _factor(link, loss, z, vector, targets)
        if factor is None:
            return False
        factors.append(factor)
    largest = float(factors[0].abs().max())
    alike = bool((factors[0] - factors[1]).abs().max() <= _SAME * largest)
    return alike and largest > 0 and bool((factors[0] >= -_SAME * largest).all())


def _factor(link: Link, loss: PerRecord, z: Tensor, vector: Tensor, targets: Tensor) -> Tensor | None:
    """C for each record (and position, or output), or None where the Hessian times the vector is no such multiple."""
    z = z.requires_grad_()
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(link.mean(z), targets).sum(), z, create_graph=True)
            (curved,) = torch.autograd.grad(gradient, z, vector)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AuditError):
        return None  # No loss of this kind; what is wrong with it is said where it is looked at.
    assert link.curve is not None  # noqa: S101 - `recognise` tries no other
    plain = link.curve(z.detach(), vector)
    if not link.shared:
        return curved / plain
    factor = (curved * plain).sum(-1, keepdim=True) / plain.square().sum(-1, keepdim=True).clamp(min=_VANISHING)
    if bool((curved - factor * plain).abs().max() > _SAME * curved.abs().max()):
        return None
    return factor


def _same(outputs: Tensor) -> Tensor:
    return outputs


def _log_softmax(z: Tensor) -> Tensor:
    return torch.log_softmax(z, -1)


def _softmax(z: Tensor) -> Tensor:
    return torch.softmax(z, -1)


def _centred(log_probabilities: Tensor) -> Tensor:
    return log_probabilities - log_probabilities.mean(-1, keepdim=True)


def _centred_log(probabilities: Tensor) -> Tensor:
    return _centred(probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log())


def _logit(probabilities: Tensor) -> Tensor:
    return torch.logit(probabilities, eps=torch.finfo(probabilities.dtype).eps / 2)


def _log(rates: Tensor) -> Tensor:
    return rates.clamp(min=torch.finfo(rates.dtype).tiny).log()


def _sums_to_one(outputs: Tensor, tolerance: float) -> bool:
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    return _several(outputs) and inside and bool((outputs.sum(-1) - 1).abs().max() <= tolerance)


def _log_sums_to_one(outputs: Tensor, tolerance: float) -> bool:
    return _several(outputs) and bool(outputs.logsumexp(-1).abs().max() <= tolerance)


def _several(outputs: Tensor) -> bool:
    return outputs.ndim > 1 and outputs.shape[-1] > 1


def _between(outputs: Tensor, _: float) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _positive(outputs: Tensor, _: float) -> bool:
    return bool((outputs > 0).all())


def _softmax_curve(z: Tensor, vector: Tensor) -> Tensor:
    p = torch.softmax(z, -1)
    return p * vector - p * (p * vector).sum(-1, keepdim=True)


def _sigmoid_curve(z: Tensor, vector: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z) * vector


def _exp_curve(z: Tensor, vector: Tensor) -> Tensor:
    return z.exp() * vector


def _told(given: str, canonical: str) -> str:
    return (
        f"The module gives {given} and the loss is their negative log-likelihood: curvature is taken in the "
        f"{canonical}, where it is that of the same model stated with its outputs before the last normalisation."
    )


LINKS: Mapping[str, Link] = {
    "identity": Link("identity", _same, _same, lambda outputs, tolerance: True, None, shared=False),
    "log-softmax": Link(
        "log-softmax", _centred, _log_softmax, _log_sums_to_one, _softmax_curve, shared=True,
        text=_told("log-probabilities", "centred log-probabilities"),
    ),
    "softmax": Link(
        "softmax", _centred_log, _softmax, _sums_to_one, _softmax_curve, shared=True,
        text=_told("probabilities that sum to 1", "centred log-probabilities"),
    ),
    "logit": Link(
        "logit", _logit, torch.sigmoid, _between, _sigmoid_curve, shared=False,
        text=_told("probabilities", "log-odds"),
    ),
    "log": Link("log", _log, torch.exp, _positive, _exp_curve, shared=False, text=_told("rates", "log-rates")),
}  # fmt: skip
"""Every link under its name, in the order in which they are tried."""
