"""How a policy says how many models: a number, a time that is turned into operations, or none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from auditkit.bank.fit import intend
from auditkit.bank.size import BUDGET, LEAST, MOST_HELD, MOST_OF_POOL, RATE, choose_size, operations, operations_in
from auditkit.policy.settings import PrivacySettings
from auditkit.preflight import Prepared, prepare
from tests.bank.lender import write_lender


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    path = write_lender(
        tmp_path_factory.mktemp("wanted"), training="{module: mlp, hidden: [4], epochs: 3}",
        privacy="{bank: auto, budget: 3 min}",
    )  # fmt: skip
    return prepare(path)


def test_a_time_is_operations_at_one_stated_rate(prepared: Prepared) -> None:
    assert operations_in("20 s") == BUDGET == 20 * RATE
    assert operations_in("5min") == 300 * RATE and operations_in("2 h") == 7200 * RATE
    assert operations_in(prepared.policy.privacy.budget) == 180 * RATE
    assert operations_in(PrivacySettings().budget) == BUDGET


def test_a_budget_gives_as_many_models_as_its_operations_are(prepared: Prepared) -> None:
    rows = 5_000
    for models in (16, 60, 120, 255):
        budget = operations(prepared.subject, rows, models)
        for given, expected in ((budget * (1 + 1e-9), models), (budget * (1 - 1e-9), models - 1)):
            size, _ = choose_size(prepared.subject, rows, "auto", kind="pool-halves", budget=given)
            assert (0 if size is None else size.models) == (expected if expected >= LEAST else 0)
    size, why = choose_size(prepared.subject, rows, "auto", kind="pool-halves", budget=operations_in("10 h"))
    assert size is not None and size.models == MOST_OF_POOL and "most" in why


def test_too_small_a_budget_says_what_to_raise(prepared: Prepared) -> None:
    size, why = choose_size(prepared.subject, 10**8, "auto", kind="pool-halves")
    assert size is None and "raise privacy.budget" in why
    need = re.search(r"would take about (\S+) operations", why)
    assert need is not None and float(need[1]) == pytest.approx(operations(prepared.subject, 10**8, LEAST), rel=0.5)


def test_a_number_stated_is_the_number_made_and_too_many_answers_are_refused(prepared: Prepared) -> None:
    intended = intend(prepared.subject, prepared.table, kind="pool-halves", wanted=300)
    assert intended.size is not None and intended.size.models == 300
    rows = 10**6
    size, why = choose_size(prepared.subject, rows, 64, kind="pool-halves")
    fits = re.search(r"privacy\.bank: (\d+)", why)
    assert size is None and fits is not None and int(fits[1]) * rows <= MOST_HELD < (int(fits[1]) + 1) * rows
    assert choose_size(prepared.subject, rows, int(fits[1]), kind="pool-halves")[0] is not None


def test_an_adapters_own_figure_of_work_is_taken_before_the_number_of_parameters(prepared: Prepared) -> None:
    stated = replace(prepared.subject, work=lambda rows: 1e6 * rows)
    assert operations(stated, 800, 10) == 10 * 1e6 * 400
