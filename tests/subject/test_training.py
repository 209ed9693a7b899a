from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from auditkit.errors import DataError, NumericsError, PolicyError
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitting import Batch, Momentum, objective
from auditkit.subject.model import build
from auditkit.subject.predict import predict
from auditkit.subject.training import train_subject

MODULES: dict[str, dict[str, Any]] = {
    "logistic": {"module": "logistic", "l2": 1e-3},
    "mlp": {"module": "mlp", "hidden": (8,), "epochs": 3},
    "embedded": {"module": "mlp", "hidden": (8, 4), "embedding": 3, "epochs": 30},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(book: Any, **training: Any) -> dict[str, Any]:
    return {"adapter": "tabular", "path": book.folder / "model", "training": training}


def fitted(book: Any, seed: int = 0, **training: Any) -> TabularSubject:
    policy = book.policy(model=model(book, **training))
    subject = train_subject(policy, book.table(), generator(seed))
    assert isinstance(subject, TabularSubject)
    return subject


def test_logistic_is_the_optimum_that_scikit_learn_finds(book: Any) -> None:
    subject, table = fitted(book, l2=0.01), book.table()
    rows = table.rows("train")
    x = np.column_stack([subject.fitted.encoding.one_hot(table.frame.iloc[rows]), np.ones(len(rows))])
    # C = 1/(N λ) makes scikit-learn's objective ours; the bias is a column, because ours is penalised too.
    peer = LogisticRegression(C=1 / (len(rows) * 0.01), fit_intercept=False, tol=1e-12, max_iter=10_000)
    peer.fit(x, table.label[rows])
    theta = torch.cat([p.reshape(-1) for p in subject.fitted.module.parameters()]).detach().numpy()
    np.testing.assert_allclose(theta, peer.coef_[0], atol=1e-5)
    assert subject.fitted.fit.gradient_norm <= 1e-10


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_of_the_stated_objective_vanishes_biases_included(book: Any, weighted: bool) -> None:
    data = {"weight": "age"} if weighted else {}
    table = book.table(data=data)
    policy = book.policy(data=data, model=model(book, l2=0.05))
    subject = train_subject(policy, table, generator())
    assert subject.gradient is not None
    rows = table.rows("train")
    inputs, y = subject.gradient.tensors(table.frame.iloc[rows], table.label[rows])
    module = subject.gradient.module
    losses = subject.gradient.loss(module(*inputs), y)
    penalty = sum(p.square().sum() for p in module.parameters())
    whole = (torch.from_numpy(table.weights[rows]) * losses).mean() + 0.025 * penalty
    norm = sum(float(g.square().sum()) for g in torch.autograd.grad(whole, list(module.parameters()))) ** 0.5
    assert norm <= 1e-10 * max(1.0, table.weights[rows].mean())


def test_a_weight_of_two_is_the_record_twice(book: Any, make_applications: Any) -> None:
    frame = make_applications(200, 5, "t").assign(income=lambda f: f["income"].fillna(1), w=1)
    doubled = frame.assign(w=np.where(np.arange(200) < 50, 2, 1))
    repeated = frame.loc[np.repeat(np.arange(200), doubled["w"])].assign(id=lambda f: [str(i) for i in range(len(f))])
    thetas = []
    for train, weight in ((doubled, "w"), (repeated, None)):
        data = {"numeric": [], "categorical": ["purpose", "branch"], "weight": weight}
        book.write(train=train, reserve=train, evaluation=train)
        # The mean over 250 rows and the sum of weights over 200 differ by 250/200 in front of the loss.
        policy = book.policy(data=data, model=model(book, l2=0.01 * (1.25 if weight else 1.0)))
        subject = train_subject(policy, book.table(data=data), generator())
        assert isinstance(subject, TabularSubject)
        thetas.append(torch.cat([p.reshape(-1) for p in subject.fitted.module.parameters()]).detach())
    torch.testing.assert_close(thetas[0], thetas[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MODULES)
def test_the_generator_is_the_only_randomness(book: Any, name: str) -> None:
    torch.manual_seed(1)
    one = fitted(book, **MODULES[name])
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert fitted(book, **MODULES[name]).digest == one.digest
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert (fitted(book, seed=1, **MODULES[name]).digest == one.digest) == (name == "logistic")


def test_two_processes_with_other_hash_seeds_and_threads_store_the_same_bytes(book: Any) -> None:
    code = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from conftest import Lender
from auditkit.subject.training import save, train_subject
book = Lender(Path(sys.argv[2]))
for name, training in (("a", {"module": "logistic"}), ("b", {"module": "mlp", "embedding": 2, "epochs": 3})):
    policy = book.policy(model={"adapter": "tabular", "path": book.folder / "m", "training": training})
    subject = train_subject(policy, book.table(), torch.Generator().manual_seed(3))
    save(subject, Path(sys.argv[3]) / name)
"""
    here = str(Path(__file__).parent)
    for number in ("1", "2"):
        out = str(book.folder / number)
        environment = {"PYTHONHASHSEED": number, "OMP_NUM_THREADS": number, "PATH": ""}
        command = [sys.executable, "-c", code, here, str(book.folder), out]
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[2], timeout=120)
    first = sorted((book.folder / "1").rglob("model.*"))
    assert len(first) == 4
    for path in first:
        assert path.read_bytes() == (book.folder / "2" / path.relative_to(book.folder / "1")).read_bytes()


@pytest.mark.parametrize("name", MODULES)
def test_training_lowers_the_objective_and_beats_the_base_rate(book: Any, name: str) -> None:
    subject, table = fitted(book, **MODULES[name]), book.table()
    rows = table.rows("train")
    inputs, y = subject.fitted.tensors(table.frame.iloc[rows], table.label[rows])
    share = y.mean()
    base = float(-(share * share.log() + (1 - share) * (1 - share).log()))
    value = float(objective(subject.fitted.module, Batch(inputs, y, torch.ones_like(y)), 1e-3).detach())
    assert value == pytest.approx(subject.fitted.fit.objective)
    assert value < base


def test_a_refit_repeats_the_recipe_and_forgets_the_rows_left_out(book: Any) -> None:
    subject, table = fitted(book, **MODULES["logistic"]), book.table()
    rows = table.rows("train")
    assert subject.train is not None
    again = subject.train(table.frame.iloc[rows], table.label[rows], generator())
    np.testing.assert_array_equal(
        predict(again, table).score,
        predict(subject, table).score,  # type: ignore[arg-type]
    )
    without = rows[(table.frame["branch"].iloc[rows] != "10").to_numpy()]
    other = subject.train(table.frame.iloc[without], table.label[without], generator())
    assert isinstance(other, TabularSubject)
    assert other.fitted.encoding.categorical[1].levels == ("01", "02")


def test_early_stopping_keeps_an_earlier_epoch_and_is_refused_for_logistic(book: Any) -> None:
    training = {"module": "mlp", "hidden": (64,), "epochs": 200, "learning_rate": 0.5, "early_stopping": True, "l2": 0}
    stopped = fitted(book, **training)
    assert stopped.fitted.fit.steps < 200
    assert ("Early stopping", "on a held-out tenth") in stopped.recipe
    with pytest.raises(PolicyError, match="early-stopping is for mlp"):
        fitted(book, module="logistic", early_stopping=True)


def test_no_l2_still_solves_and_a_rate_too_high_is_said(book: Any) -> None:
    assert fitted(book, module="logistic", l2=0).fitted.fit.gradient_norm <= 1e-10
    with pytest.raises(NumericsError, match="diverged"):
        fitted(book, module="mlp", l2=10.0, learning_rate=50.0, epochs=20)


def test_training_without_training_rows_or_for_another_adapter_is_refused(book: Any) -> None:
    with pytest.raises(DataError, match="no training data"):
        data = {"train": None, "reserve": None}
        train_subject(book.policy(data=data), book.table(data=data), generator())
    with pytest.raises(PolicyError, match=r"model\.adapter is estimator"):
        train_subject(book.policy(model={"adapter": "estimator", "subject": "m:f"}), book.table(), generator())


def test_building_a_module_draws_nothing_from_the_global_generator(book: Any) -> None:
    subject = fitted(book, **MODULES["embedded"])
    before = torch.get_rng_state()
    build(subject.fitted.encoding, subject.fitted.recipe.training)
    assert torch.equal(before, torch.get_rng_state())


def test_the_momentum_is_that_of_torch() -> None:
    modules = [torch.nn.Linear(3, 1, dtype=torch.float64) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    ours = Momentum.of(modules[0], 0.1)
    theirs = torch.optim.SGD(modules[1].parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.1)
    x = torch.randn(7, 3, dtype=torch.float64, generator=generator())
    for _ in range(5):
        ours.step(modules[0](x).square().mean(), 0.2)
        theirs.zero_grad()
        modules[1](x).square().mean().backward()
        theirs.step()
    for one, other in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.prove
def test_four_thousand_records_train_in_the_time_promised(
    book: Any, make_applications: Any, record_property: Callable[[str, object], None]
) -> None:
    rng = np.random.default_rng(0)
    frame = make_applications(4000, 9, "t").assign(branch=[f"b{i}" for i in rng.integers(0, 50, 4000)])
    book.write(train=frame)
    table = book.table()
    for training, limit in (({"module": "logistic"}, 1.0), ({"module": "mlp", "hidden": (32,)}, 10.0)):
        policy = book.policy(model=model(book, **training))
        start = time.process_time()
        train_subject(policy, table, generator())
        seconds = time.process_time() - start
        record_property(f"4,000 records train, {training['module']}, CPU s", seconds)
        assert seconds < limit
