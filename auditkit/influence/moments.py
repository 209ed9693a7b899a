"""Second moments of the records' own loss gradients, parameter by parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.influence.capture import verified_sites
from auditkit.influence.jacobian import probe_gradients, rows_that_fit
from auditkit.influence.problem import Problem
from auditkit.influence.sharing import summed
from auditkit.influence.sweep import Seen, single_row_sites

_RECORDS = 4096
_FEWEST = 256
_NUMBERS = 2**25


def second_moments(problem: Problem) -> Tensor:
    """[D] float64: mean of (w_n dl_n/dtheta_j)² over evenly spaced records.

    At most 4,096 records, fewer for large models (256 at least, where there are as many): one backward pass each.
    """
    found = summed(problem, "moments", lambda: _here(problem))
    return found["squares"] / found["count"]


def _here(problem: Problem) -> dict[str, Tensor]:
    size, device = problem.layout.size, problem.targets.device
    wanted = min(problem.n, max(_FEWEST, min(_RECORDS, _NUMBERS // size)))
    # Positions among all N records, of which this process takes those that it holds.
    places = torch.linspace(0, problem.n - 1, wanted, dtype=torch.float64).round().to(device, torch.int64)
    places = places[(places >= problem.start) & (places < problem.start + len(problem.targets))] - problem.start
    total, spans = torch.zeros(size, dtype=torch.float64, device=device), problem.layout.spans()
    sites = single_row_sites(problem, verified_sites(problem))
    done = {name for site in sites for name in site.names}
    rest = [name for name in problem.layout.names if name not in done]
    numbers = sum(spans[name].stop - spans[name].start for name in rest)
    for part in torch.split(places, min(problem.batch, rows_that_fit(numbers))):
        inputs, weights = tuple(t[part] for t in problem.inputs), problem.weights[part].unsqueeze(1)
        seen = Seen.of(problem, sites, inputs, problem.targets[part])
        for site in sites:
            a, d = seen.rows(site, problem.dtype)
            squares = (d * weights.to(d.dtype)).square().T @ a.square()  # of d aᵀ, which is never formed
            for name, square in site.parts(squares.to(torch.float64).unsqueeze(0)).items():
                total[spans[name]] += square.reshape(-1)
        if rest:
            found = probe_gradients(problem, inputs, (seen.slope * weights).unsqueeze(2), rest)
            for name in rest:
                total[spans[name]] += found[name][:, 0].to(torch.float64).square().sum(0)
    return {"squares": total, "count": torch.tensor(float(len(places)), dtype=torch.float64, device=device)}
