from __future__ import annotations

import pytest
import torch

from auditkit.influence.estimators.exact import gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.products import GaussNewton
from tests.influence.conftest import random
from tests.influence.modules import MODULES, module_problem

every_module = pytest.mark.parametrize("name", sorted(MODULES))


@every_module
@pytest.mark.parametrize("held", [0, 2**23])
def test_products_and_diagonal_equal_the_dense_matrix(name: str, held: int) -> None:
    problem = module_problem(name, batch=7)
    dense, vectors = gauss_newton(problem), random(problem.layout.size, 3)
    operator = GaussNewton.of(problem, held=held)
    assert (operator.held is None) == (held == 0)
    torch.testing.assert_close(operator.product(vectors), dense @ vectors, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(operator.diagonal, dense.diagonal(), rtol=1e-9, atol=1e-13)


@every_module
def test_forward_mode_is_used_where_it_has_rules_and_agrees_with_reverse_mode(name: str) -> None:
    problem = module_problem(name)
    operator = GaussNewton.of(problem, held=0)
    assert operator.forward == (name != "no forward rule")
    vectors, cotangents = random(problem.layout.size, 3), random(30, problem.classes, 2)
    jacobian = output_jacobian(problem, problem.inputs)
    torch.testing.assert_close(operator.push(problem.inputs, vectors), jacobian @ vectors)
    wanted = torch.einsum("bck,bcd->dk", cotangents, jacobian)
    torch.testing.assert_close(operator.pull(problem.inputs, cotangents), wanted)


@pytest.mark.parametrize("held", [0, 2**23])
def test_a_sample_of_records_counts_as_all_of_them(held: int) -> None:
    problem = module_problem("norm")
    operator, vectors = GaussNewton.of(problem, held=held), random(problem.layout.size, 2)
    each = [operator.product(vectors, torch.tensor([i])) for i in range(problem.n)]
    torch.testing.assert_close(torch.stack(each).mean(0), operator.product(vectors))
    rows = torch.tensor([3, 3, 8])
    torch.testing.assert_close(operator.product(vectors, rows), (2 * each[3] + each[8]) / 3)
    eye = torch.eye(problem.layout.size, dtype=torch.float64)
    single = [torch.linalg.eigvalsh(operator.product(eye, torch.tensor([i])))[-1] for i in range(problem.n)]
    assert max(single) <= operator.largest * (1 + 1e-9)


def test_float32_passes_say_so() -> None:
    narrow, wide = (module_problem("norm") for _ in range(2))
    assert GaussNewton.of(wide, held=0).rounding < 1e-15
    narrow = type(narrow)(**{**vars(narrow), "dtype": torch.float32})
    assert GaussNewton.of(narrow).rounding < 1e-15
