"""Self-influence that records would have which the model did not learn from, had it learned from them.

Of a training record self-influence is the predicted change of its own loss if it were removed. A record of the reserve
is given the same quadratic form G = J H⁻¹ Jᵀ at the same curvature; what being trained on changes is its outputs, which
move along −G r to a lower loss. How far:

- with retrained models: until the margin has risen by what it rises, of that record, from models without to models with
  it (`gain`), which holds for networks that memorise, where a single step does not;
- without: by one Newton step of adding the record, −1/N G q with q = r − R G r and R of `newton` with I + P for I − P.

From there the record is scored like a training record (`scoring`). Wrong where G itself differs between records that
the model has learned from and others, and where the loss is no -log of a probability while a gain is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.curvature import Curvature
from auditkit.influence.likelihood import OutputTerms, output_terms
from auditkit.influence.newton import removal
from auditkit.influence.problem import Problem, batches
from auditkit.influence.refusals import require_finite
from auditkit.influence.scoring import Form
from auditkit.subject.types import Floats

_HALVINGS = 60
_LONGEST = 1e6
"""Multiple of the record's own first-order step beyond which the outputs are not moved."""


@dataclass(frozen=True)
class Unseen:
    """K records of the population that the model did not learn from."""

    inputs: Sequence[Tensor]
    targets: Tensor
    gain: Floats | None = None
    """[K] by how much a record's margin log p / (1 - p) rises where it is learned from; None: not known."""


def self_influence(problem: Problem, curvature: Curvature, unseen: Unseen, *, form: Form) -> Tensor:
    """[K] self-influence in nats that the records would have as training records, each counting as weight 1.

    Args:
        problem: the posed problem. curvature: fitted on it. unseen: the records. form: of the training records' scores.

    Raises:
        NumericsError: a value is not finite. ModelError: see `Curvature.probe`.
    """
    inputs = problem.cast(unseen.inputs)
    targets = unseen.targets.to(problem.dtype) if unseen.targets.is_floating_point() else unseen.targets
    gain = None if unseen.gain is None else torch.as_tensor(unseen.gain, dtype=torch.float64, device=targets.device)
    nowhere = torch.zeros(problem.layout.size, 1, dtype=torch.float64, device=targets.device)
    found = []
    for at, rows, aims in batches(inputs, targets, problem.batch):
        outputs = problem.outputs(rows).detach().to(torch.float64)
        gram = curvature.probe(rows, None, nowhere)[1]
        terms = output_terms(problem, outputs, aims)
        if gain is None:
            moved = _added(problem, outputs, terms, gram)
        else:
            moved = _risen(problem, outputs, aims, terms=terms, gram=gram, gain=gain[at])
        found.append(_removed(problem, curvature, moved, aims=aims, gram=gram, form=form))
    own = torch.cat(found)
    require_finite(own, "self-influence of reserve records")
    return own


def _added(problem: Problem, outputs: Tensor, terms: OutputTerms, gram: Tensor) -> Tensor:
    """Outputs [B, C] after one Newton step of adding each record."""
    own = (terms.root.transpose(1, 2) @ gram @ terms.root) / problem.n
    eye = torch.eye(own.shape[1], dtype=own.dtype, device=own.device)
    pulled = terms.root.transpose(1, 2) @ gram @ terms.gradient.unsqueeze(2)
    back = terms.root @ torch.linalg.solve(eye + own, pulled) / problem.n
    moved: Tensor = outputs - (gram @ (terms.gradient.unsqueeze(2) - back)).squeeze(2) / problem.n
    return moved


def _risen(
    problem: Problem, outputs: Tensor, aims: Tensor, *, terms: OutputTerms, gram: Tensor, gain: Tensor
) -> Tensor:
    """Outputs [B, C] moved along −G r until the margin has risen by the gain; where they are for one of 0 or less."""
    way = -(gram @ terms.gradient.unsqueeze(2)).squeeze(2) / problem.n
    loss = terms.loss.clamp(min=1e-15)
    goal = torch.nn.functional.softplus(loss + torch.log(-torch.expm1(-loss)) - gain)
    low, high = torch.zeros_like(loss), torch.full_like(loss, _LONGEST)
    for _ in range(_HALVINGS):
        # The geometric middle: steps differ by orders of magnitude between records.
        middle = torch.where(low > 0, (low * high).sqrt(), high * 1e-9)
        above = problem.loss(problem.raw(outputs + middle.unsqueeze(1) * way), aims) > goal
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    steps = torch.where(gain > 0, low, torch.zeros_like(low))
    return outputs + steps.unsqueeze(1) * way


def _removed(
    problem: Problem, curvature: Curvature, outputs: Tensor, *, aims: Tensor, gram: Tensor, form: Form
) -> Tensor:
    """Change of the own loss [B] on removal, at these outputs, in the form of the training records' scores."""
    terms = output_terms(problem, outputs, aims)
    if form == "first-order":
        return torch.einsum("bc,bcd,bd->b", terms.gradient, gram, terms.gradient) / problem.n
    ones = torch.ones(len(outputs), dtype=torch.float64, device=outputs.device)
    out = removal(terms.root, gram, weights=ones, n=problem.n, bound=curvature.leverage_bound)
    q = out.corrected(terms.gradient, gram)
    moved = outputs + (gram @ q.unsqueeze(2)).squeeze(2) / problem.n
    change: Tensor = problem.loss(problem.raw(moved), aims) - terms.loss
    return change.to(torch.float64)
