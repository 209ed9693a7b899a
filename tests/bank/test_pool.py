"""Halves of training and reserve rows together: what membership is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auditkit.bank.fit import make
from auditkit.bank.size import MOST_OF_POOL, choose_size
from auditkit.bank.types import Bank, Size
from auditkit.preflight import Prepared, prepare
from auditkit.run import audit_prepared
from tests.bank.lender import SIZES, write_lender

POOL = SIZES["train"] + SIZES["reserve"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(write_lender(tmp_path_factory.mktemp("pool"), persons=2))


@pytest.fixture(scope="module")
def bank(prepared: Prepared) -> Bank:
    rng = np.random.default_rng(0)
    found, why = make(prepared.subject, prepared.table, kind="pool-halves", wanted="auto", generator=rng)
    assert found is not None and f"{MOST_OF_POOL} models" in why
    return found


def test_the_halves_are_of_training_and_reserve_rows_and_hold_persons_together(prepared: Prepared, bank: Bank) -> None:
    assert bank.plan.kind == "pool-halves" and bank.plan.masks.shape == (MOST_OF_POOL, POOL)
    assert set(prepared.table.split[bank.plan.rows].tolist()) == {"train", "reserve"}
    assert (bank.plan.masks.sum(1) == POOL // 2).all()
    assert prepared.table.persons is not None
    persons = prepared.table.persons[bank.plan.rows]
    for person in set(persons.tolist()):
        own = bank.plan.masks[:, persons == person]
        assert (own == own[:, :1]).all()
    # Reserve rows are inside as often as training rows: one in two.
    reserve = prepared.table.split[bank.plan.rows] == "reserve"
    assert bank.plan.masks[:, reserve].mean() == pytest.approx(0.5, abs=0.05)


def test_margins_are_higher_where_the_record_was_learned(bank: Bank) -> None:
    inside, margin = bank.plan.masks, bank.margin_pool
    assert margin.shape == bank.loss_pool.shape
    gap = np.ma.array(margin, mask=~inside).mean(0) - np.ma.array(margin, mask=inside).mean(0)
    assert gap.mean() > 0.01 and (gap > 0).mean() > 0.7


def test_no_subset_of_the_pool_is_learned_twice(prepared: Prepared) -> None:
    size, _ = choose_size(prepared.subject, POOL, "auto", kind="pool-halves")
    assert size == Size(0, MOST_OF_POOL, 0)


def test_too_much_work_is_not_begun_and_names_no_setting_of_another_part(prepared: Prepared) -> None:
    size, why = choose_size(prepared.subject, 10**10, "auto", kind="pool-halves")
    assert size is None and "operations" in why and "fidelity" not in why


def test_without_a_reserve_there_is_none_and_the_reason(tmp_path: Path) -> None:
    path = write_lender(tmp_path)
    path.write_text(path.read_text().replace("  reserve: reserve.csv\n", ""))
    bare = prepare(path)
    found, why = make(
        bare.subject, bare.table, kind="pool-halves", wanted="auto", generator=np.random.default_rng(0)
    )
    assert found is None and "reserve" in why


@pytest.mark.parametrize("wanted", ["auto", "none"])
def test_one_run_trains_both_banks_or_neither(tmp_path: Path, wanted: str) -> None:
    audit = audit_prepared(prepare(write_lender(tmp_path, privacy=f"{{bank: {wanted}}}")), as_of=None, command="")
    assert ("bank_masks" in audit.arrays) == ("pool_bank_masks" in audit.arrays) == (wanted == "auto")
    if wanted == "auto":
        assert audit.arrays["pool_bank_loss"].shape == (MOST_OF_POOL, POOL)
        assert audit.arrays["bank_loss_pool"].shape[1] == SIZES["train"]
