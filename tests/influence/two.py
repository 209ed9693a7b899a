"""Two processes score shares of the same records; the first writes what all of them found. Started by the test."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from auditkit.influence.curvature import Estimator
from auditkit.influence.estimators.arnoldi import Arnoldi
from auditkit.influence.estimators.cg import Cg
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.estimators.kfac import Kfac
from auditkit.influence.estimators.lissa import Lissa
from auditkit.influence.measures import Evaluation, Measure, state_evaluation
from auditkit.influence.pooled import pooled
from auditkit.influence.problem import Problem, pose
from auditkit.influence.quality import assess_quality
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import score
from auditkit.launch import joined
from auditkit.processes import Processes

N, WIDTH, CLASSES, ROWS = 333, 6, 3, 40
DAMPING = 1e-2
CASES: dict[str, Estimator] = {name: make(damping=DAMPING) for name, make in ESTIMATORS.items()} | {
    # Root Jacobians that are not held, a basis that is not the whole space, recursions over samples, other dampings.
    "cg, streamed": Cg(damping=DAMPING, held=0, preconditioner="ekfac"),
    "lissa, sampled": Lissa(damping=1.0, sample=64, repeats=2),
    "arnoldi, part": Arnoldi(damping=DAMPING, held=0, steps=24, keep=16),
    "exact, auto": Exact(),
    "ekfac, auto": Ekfac(),
    "kfac, dense": Kfac(damping=DAMPING, dense_limit=8),
}
MODELS = ("linear", "network", "wide")
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def module(kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made: dict[str, nn.Module] = {
            "linear": nn.Linear(WIDTH, CLASSES),
            "network": nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, CLASSES)),
            # More parameters than records have outputs: one system for each record.
            "wide": nn.Sequential(nn.Linear(WIDTH, 64), nn.Tanh(), nn.Linear(64, CLASSES)),
        }
    return made[kind].double().eval()


def posed(kind: str, precision: str, processes: Processes, *, n: int = N) -> tuple[Problem, Evaluation]:
    """An odd number of records, weights, and an L2 of its own for every parameter but the last, which has none."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, WIDTH, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, CLASSES, (n,), generator=generator)
    weights = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
    model, share = module(kind), processes.share(n)
    names = [name for name, _ in model.named_parameters()]
    problem = pose(
        model, cross_entropy, (inputs[share],), targets[share], weights=weights[share], batch=50,
        weight_decay={name: 0.01 * k for k, name in enumerate(reversed(names))}, dtype=PRECISIONS[precision],
        processes=processes,
    )  # fmt: skip
    whole = torch.ones(ROWS, dtype=torch.float64) / ROWS
    few = (torch.arange(ROWS) < 10).to(torch.float64) / 10
    measures = [Measure("all", "loss", whole), Measure("few", "loss", few)]
    return problem, state_evaluation(problem, (inputs[:ROWS],), targets[:ROWS], measures)


def scored(case: str, kind: str, precision: str, processes: Processes) -> dict[str, object]:
    """Scores of all records, and what is said of them."""
    problem, evaluation = posed(kind, precision, processes, n=61 if kind == "wide" else N)
    curvature = CASES[case].fit(problem)
    found = pooled(problem, score(problem, curvature, evaluation))
    said = assess_quality(problem, curvature, evaluation, found, minimum=1)
    return {
        "effects": found.effects, "self": found.self_influence, "leverage": found.leverage,
        "counts": (found.form, found.second_order, found.capped, found.unsettled),
        "said": [(one.name, one.value, one.text) for one in said],
    }  # fmt: skip


def cases() -> list[tuple[str, str, str]]:
    """Every estimator on both models and in both precisions; what takes many exchanges, on the small one alone."""
    plain = [name for name in ESTIMATORS if name != "lissa"]
    found = [(case, kind, precision) for case in plain for kind in MODELS[:2] for precision in PRECISIONS]
    found += [("lissa", "linear", precision) for precision in PRECISIONS]
    found += [(case, "network", "float64") for case in ("arnoldi, part", "exact, auto", "ekfac, auto", "kfac, dense")]
    found += [(case, "linear", "float64") for case in ("cg, streamed", "lissa, sampled")]
    return [*found, ("cg", "wide", "float64")]


def main(out: str) -> None:
    with joined() as processes:
        found = {case: scored(*case, processes) for case in cases()}
        if processes.first:
            torch.save(found, Path(out))


if __name__ == "__main__":
    main(sys.argv[1])
