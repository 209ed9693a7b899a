"""Sums over records are kept under all that they rest on, and read instead of computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from auditkit.influence.pooled import kept_scores
from auditkit.influence.problem import Problem
from auditkit.influence.sharing import summed, whole
from auditkit.processes import ALONE
from tests.influence import two


@dataclass
class Memory:
    """Pieces in a dictionary."""

    pieces: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)

    def get(self, name: str) -> dict[str, NDArray[Any]] | None:
        found = self.pieces.get(name)
        return None if found is None else dict(found)

    def put(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.pieces[name] = {key: np.array(value) for key, value in arrays.items()}


@pytest.fixture
def problem() -> Problem:
    return replace(two.posed("network", "float64", ALONE)[0], keep=Memory())


def test_a_kept_sum_is_read_and_not_computed_again(problem: Problem) -> None:
    first = summed(problem, "a", lambda: {"total": problem.targets.sum()})
    again = summed(problem, "a", lambda: pytest.fail("computed again"))
    assert again["total"] == first["total"]


@pytest.mark.parametrize("change", ["rows", "weights", "parameters", "batch"])
def test_a_sum_over_anything_else_has_a_piece_of_its_own(problem: Problem, change: str) -> None:
    summed(problem, "a", lambda: {"total": torch.tensor(1.0)})
    other = {
        "rows": lambda: replace(problem, inputs=tuple(t.flip(0) for t in problem.inputs)),
        "weights": lambda: replace(problem, weights=problem.weights * 2),
        "parameters": lambda: replace(problem, module=two.module("network").requires_grad_(False).apply(_moved)),
        "batch": lambda: replace(problem, batch=7),
    }[change]()
    assert summed(other, "a", lambda: {"total": torch.tensor(2.0)})["total"] == 2.0
    assert summed(problem, "a", lambda: pytest.fail("computed again"))["total"] == 1.0


def _moved(module: torch.nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        parameter.data.add_(1.0)


@pytest.mark.parametrize("case", ["exact", "ekfac", "cg", "cg, streamed", "arnoldi"])
def test_kept_scores_are_the_scores_and_what_was_said_of_them(case: str) -> None:
    problem, evaluation = two.posed("linear", "float64", ALONE)
    memory = Memory()
    first = two.CASES[case].fit(problem)
    computed = kept_scores(problem, first, evaluation, memory)
    second = two.CASES[case].fit(problem)
    read = kept_scores(problem, second, evaluation, memory)
    for name in ("effects", "self_influence", "leverage", "plain_self"):
        assert torch.equal(getattr(read, name), getattr(computed, name)), name
    assert (read.form, read.second_order, read.capped, read.unsettled) == (
        computed.form, computed.second_order, computed.capped, computed.unsettled,
    )  # fmt: skip
    assert read.quality == computed.quality
    assert second.quality() == first.quality()


def test_one_process_alone_holds_the_whole(problem: Problem) -> None:
    assert whole(problem) is problem
