from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence.damping import added_damping
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.quality import rank_overlap
from auditkit.influence.registry import choose
from tests.influence.conftest import posed, random


def test_auto_goes_by_the_number_of_parameters_and_says_so() -> None:
    problem = posed(nn.Linear(3, 2).double(), random(10, 3), torch.arange(10) % 2)
    small, large = choose(problem, "auto", "auto"), choose(problem, "auto", "auto", exact_parameters=7)
    assert small.name == "exact" and "8 trainable parameters, at most 30,000" in small.why
    assert large.name == "ekfac" and "8 trainable parameters, more than 7" in large.why


def test_auto_leaves_exact_where_a_record_has_very_many_outputs() -> None:
    def token_squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets.unsqueeze(2)).square().mean((1, 2))

    module = nn.Linear(80, 100).double()
    short, long = (posed(module, random(3, t, 80), random(3, t), loss=token_squares) for t in (10, 11))
    assert choose(short, "auto", "auto").name == "exact"
    found = choose(long, "auto", "auto")
    assert found.name == "ekfac" and "1,100 outputs a record depend on 8,100 trainable parameters" in found.why


def test_auto_leaves_exact_where_its_matrix_is_too_much_work() -> None:
    problem = posed(nn.Linear(3, 2).double(), random(10, 3), torch.arange(10) % 2)
    found = choose(problem, "auto", "auto", exact_operations=1000.0)
    assert found.name == "ekfac"
    # 10 records, 2 outputs, 8 parameters: 10 * 2 * 64 + 512 / 3.
    assert "about 1e+03 operations, more than 1e+03" in found.why
    assert choose(problem, "auto", "auto", exact_operations=1500.0).name == "exact"


def test_auto_damping_fills_up_to_the_floor_only() -> None:
    assert added_damping("auto", mean_eigenvalue=2.0, penalty=1e-2, affine=False) == 0.0
    assert added_damping("auto", mean_eigenvalue=2.0, penalty=1e-3, affine=False) == pytest.approx(1e-3)
    assert added_damping("auto", mean_eigenvalue=2.0, penalty=0.0, affine=True) == pytest.approx(2e-6)
    assert added_damping(0.5, mean_eigenvalue=2.0, penalty=1.0, affine=False) == 0.5


def test_a_singular_curvature_is_refused_at_damping_zero_and_served_by_auto() -> None:
    x = random(20, 3)
    problem = posed(nn.Linear(3, 2).double(), x, torch.arange(20) % 2, l2=0.0)
    with pytest.raises(NumericsError, match=r"damping 0.*influence\.damping"):
        Exact(damping=0.0).fit(problem)
    assert Exact().fit(problem).damping["all"] > 0


def test_rank_overlap_counts_common_records() -> None:
    here = torch.tensor([[4.0, 1], [-3, 2], [2, 3], [1, 4]])
    there = torch.tensor([[4.0, 4], [1, 3], [-3, 2], [2, 1]])
    assert rank_overlap(here, there, count=2).tolist() == [0.5, 0.0]
    assert rank_overlap(here, here, count=9).tolist() == [1.0, 1.0]
