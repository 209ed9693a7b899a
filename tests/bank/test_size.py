from __future__ import annotations

from dataclasses import replace

import pytest

from auditkit.bank.size import BUDGET, LEAST, MOST, choose_size
from auditkit.bank.types import Size
from auditkit.preflight import prepare
from auditkit.subject.types import Subject
from tests.bank.lender import write_lender


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    recipes = {"logistic": "{module: logistic}", "mlp": "{module: mlp, hidden: [4], epochs: 3}"}
    paths = {name: write_lender(tmp_path_factory.mktemp(name), training=text) for name, text in recipes.items()}
    return {name: prepare(path).subject for name, path in paths.items()}


def test_small_models_get_the_most_and_a_deterministic_recipe_repeats_nothing(subjects: dict[str, Subject]) -> None:
    size, why = choose_size(subjects["logistic"], 4000, "auto")
    assert size == Size(0, MOST, 0) and "32 models" in why
    assert choose_size(subjects["mlp"], 4000, "auto")[0] == Size(0, 24, 8)


def test_the_number_stated_is_the_number_trained(subjects: dict[str, Subject]) -> None:
    size, why = choose_size(subjects["mlp"], 10**9, 50, fitting=7)
    assert size is not None and size == Size(7, 38, 12) and size.models == 57 and "policy" in why


def test_fewer_models_as_the_work_grows_and_none_with_the_reason(subjects: dict[str, Subject]) -> None:
    sizes = [choose_size(subjects["mlp"], rows, "auto")[0] for rows in range(10**4, 10**7, 10**5)]
    models = [0 if size is None else size.models for size in sizes]
    assert models == sorted(models, reverse=True) and models[0] == MOST and models[-1] == 0
    assert all(count == 0 or count >= LEAST for count in models)
    _, why = choose_size(subjects["mlp"], 10**8, "auto")
    assert "influence.fidelity-models" in why and f"{BUDGET:.0e}" in why


def test_unknown_work_is_not_begun(subjects: dict[str, Subject]) -> None:
    assert choose_size(replace(subjects["mlp"], parameters=None), 100, "auto")[0] is None
