"""Scores that rest on several parameter vectors of one architecture: checkpoints of a run, members of an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from auditkit.errors import Complaint, ModelError
from auditkit.influence.problem import Problem
from auditkit.influence.refusals import check_posed
from auditkit.pieces import Nothing
from auditkit.result import Quality

_NOWHERE = Nothing()

State: TypeAlias = Mapping[str, Tensor]
"""What `module.state_dict()` gives, copied."""


@dataclass(frozen=True)
class Combined:
    """Effects and self-influence, float64, in the order of the training rows, and what is to be said of them."""

    effects: Tensor
    """[N, S]"""
    self_influence: Tensor
    """[N]"""
    quality: tuple[Quality, ...]


def at_state(problem: Problem, state: State, *, what: str) -> Problem:
    """The same problem with the parameters (and buffers) of another state, checked like a newly posed one.

    Raises:
        ModelError: the state does not fit the module. NumericsError: its parameters or losses are not finite.
    """
    module = copy.deepcopy(problem.module)
    try:
        module.load_state_dict(dict(state))
    except (RuntimeError, TypeError, AttributeError) as reason:
        raise ModelError(f"{what} does not fit the module: {reason}") from reason
    # Sums of many models would fill the disk; what is kept of them is their scores (`pooled.kept_ways`).
    moved = replace(problem, module=module.eval().requires_grad_(False), keep=_NOWHERE)
    check_posed(moved)
    return moved


def refuse_shared(problem: Problem, states: Sequence[State], *, what: str) -> None:
    """Refuse states that lie in the same memory: `state_dict()` gives views, which training goes on to overwrite.

    States may share what is not trained (a frozen body).

    Raises:
        ModelError: two states hold all their trained parameters in the same memory.
    """
    seen: dict[tuple[tuple[str, int], ...], int] = {}
    for k, state in enumerate(states):
        trained = [state[name] for name in problem.layout.names if name in state]
        places = tuple((str(value.device), value.data_ptr()) for value in trained)
        if places and seen.setdefault(places, k) != k:
            raise ModelError(
                Complaint(
                    f"{what} {seen[places] + 1} and {k + 1} share the memory of their parameters, so they are the same",
                    hint="keep copy.deepcopy(module.state_dict()) at each of them",
                )
            )
