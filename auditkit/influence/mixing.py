"""A few columns that stand for the gradients of all records, so that sums of their quadratic forms take few solves.

For V = sum_n sqrt(w_n) e_n g_n with independent signs e_n = ±1, E[Vᵀ A V] = sum_n w_n g_nᵀ A g_n for any matrix A
(Hutchinson 1990). The signs come from the records' content, so neither row order nor batch size matters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.influence.likelihood import loss_gradient
from auditkit.influence.products import GaussNewton
from auditkit.influence.roots import RootColumns, record_signs


def mixed_gradients(operator: GaussNewton, columns: int) -> Tensor:
    """[D, columns] sums over records of sqrt(w_n) e_n dl_n/dtheta, signs e_n = ±1 from the records' content."""
    problem = operator.problem
    total = torch.zeros(problem.layout.size, columns, dtype=torch.float64, device=problem.targets.device)
    for at, inputs, targets in problem.rows():
        with torch.no_grad():
            outputs = problem.outputs(inputs)
        _, gradient = loss_gradient(problem, outputs, targets)
        signs = record_signs((*inputs, targets), 1, RootColumns(probes=columns))[:, 0]
        share = signs * problem.weights[at].sqrt().unsqueeze(1)
        total += operator.pull(inputs, gradient.unsqueeze(2) * share.unsqueeze(1))
    return problem.processes.sum(total)
