"""The table of estimators, and the choice that `auto` makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from auditkit.errors import PolicyError
from auditkit.influence.curvature import Estimator
from auditkit.influence.damping import Damping
from auditkit.influence.estimators.arnoldi import Arnoldi
from auditkit.influence.estimators.cg import Cg
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.estimators.kfac import Kfac
from auditkit.influence.estimators.lissa import Lissa
from auditkit.influence.estimators.logra import Logra
from auditkit.influence.problem import Problem
from auditkit.influence.straightness import check_curved
from auditkit.result import Quality


class Maker(Protocol):
    """What stands in the table: settings with defaults, of which the policy gives the damping."""

    def __call__(self, *, damping: Damping = "auto") -> Estimator:
        """The estimator with this damping."""
        ...


ESTIMATORS: Mapping[str, Maker] = {
    "exact": Exact,
    "cg": Cg,
    "lissa": Lissa,
    "arnoldi": Arnoldi,
    "kfac": Kfac,
    "ekfac": Ekfac,
    "logra": Logra,
}

SOURCES: Mapping[str, str] = {
    "exact": "Koh & Liang 2017; Martens 2020 (generalised Gauss-Newton); Newton step: Pregibon 1981",
    "cg": "Martens 2010; Koh & Liang 2017",
    "lissa": "Agarwal, Bullins & Hazan 2017; Koh & Liang 2017",
    "arnoldi": "Schioppa et al. 2022",
    "kfac": "Martens & Grosse 2015",
    "ekfac": "George et al. 2018; Grosse et al. 2023",
    "logra": "Choe et al. 2024",
}

EXACT_PARAMETERS = 30_000
EXACT_OPERATIONS = 1e12
"""Half a minute of one core; the same models' matrices then stay within a few GiB."""
_DERIVATIVES = 2**23


@dataclass(frozen=True)
class Choice:
    """Which estimator, and why, in one sentence; and what its curvature rests on."""

    name: str
    estimator: Estimator
    why: str
    quality: tuple[Quality, ...] = ()


def choose(
    problem: Problem,
    name: str,
    damping: Damping,
    *,
    exact_parameters: int = EXACT_PARAMETERS,
    exact_operations: float = EXACT_OPERATIONS,
) -> Choice:
    """The estimator of this name; `auto` takes `exact` up to `exact_parameters` parameters and `ekfac` above.

    Checkpoints and members are no estimators of one model: the public door takes `tracin` or `ensemble` where they are
    given (`attribution`); an audit takes these where its policy names them (`ways`), because each costs a training or
    a bank of its own.

    And `ekfac` where the derivatives of one record's outputs are too many numbers: `exact` needs them for every record;
    and where forming and factorising its matrix, N C D² + D³/3 operations, takes more than `exact_operations`.

    Raises:
        PolicyError: no estimator has this name. ModelError: the loss has no curvature (`straightness`).
    """
    size = problem.layout.size
    if name == "auto":
        small = size <= exact_parameters
        name = "exact" if small else "ekfac"
        side = "at most" if small else "more than"
        why = f"Chosen because the model has {size:,} trainable parameters, {side} {exact_parameters:,}."
        if small and size * problem.classes > _DERIVATIVES:
            name = "ekfac"
            why = f"Chosen because {problem.classes:,} outputs a record depend on {size:,} trainable parameters."
        work = float(problem.n) * problem.classes * size**2 + size**3 / 3
        if name == "exact" and work > exact_operations:
            name = "ekfac"
            why = f"Chosen because exact would take about {work:.0e} operations, more than {exact_operations:.0e}."
    else:
        why = "Named by the policy."
    if name not in ESTIMATORS:
        raise PolicyError(f"no influence estimator is called {name!r}; there are auto, {', '.join(sorted(ESTIMATORS))}")
    return Choice(name, ESTIMATORS[name](damping=damping), why, check_curved(problem))
