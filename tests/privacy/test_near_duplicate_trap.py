"""Five near-copies of each planted record: self-influence falls, the duplicate check names them, the report counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from auditkit.influence import attribute
from auditkit.privacy import duplicates
from auditkit.subject.types import Floats
from tests.worlds import SoftmaxWorld, cross_entropy, fit_softmax, leave_one_out, slices_of

RECORDS, WIDTH, PLANTED, COPIES = 400, 6, 8, 5


def world(copies: int) -> SoftmaxWorld:
    """Records, the first PLANTED of which lie far out with the wrong label; the copies of those stand at the end."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(RECORDS, WIDTH))
    x[:PLANTED] *= 2.0
    y = (x[:, 0] + 0.5 * rng.normal(size=RECORDS) > 0).astype(np.int64)
    y[:PLANTED] = x[:PLANTED, 0] <= 0
    again = np.repeat(np.arange(PLANTED), copies)
    x = np.vstack([x, x[again] + 1e-3 * rng.normal(size=(len(again), WIDTH))])
    y = np.concatenate([y, y[again]])
    theta = fit_softmax(x, y, classes=2, l2=1e-2, weights=np.ones(len(x)), n=len(x))
    return SoftmaxWorld(x, y, x[:50], y[:50], 2, 1e-2, theta)


def own_influence(given: SoftmaxWorld) -> Floats:
    """[N] exact self-influence by the engine."""
    train = torch.from_numpy(given.x), torch.from_numpy(given.y)
    found = attribute(given.module(), cross_entropy, train, {"all": train}, weight_decay=given.l2, estimator="exact")
    assert found.self_influence is not None
    return found.self_influence.numpy()


def test_self_influence_falls_with_the_copies_and_removing_all_of_them_shows_what_they_hold() -> None:
    alone, copied = world(0), world(COPIES)
    before, after = own_influence(alone), own_influence(copied)
    planted = np.arange(PLANTED)
    # Alone they stand among the highest seventh of the records; with copies each falls to less than half.
    assert (before[planted] > np.quantile(before, 6 / 7)).all()
    assert (after[planted] < 0.5 * before[planted]).all()
    # The engine is right to say so: real retraining without the one record says the same.
    _, real = leave_one_out(copied, slices_of(copied), planted)
    np.testing.assert_allclose(after[planted], real, rtol=0.25)
    together = np.array([_without_cluster(copied, k) for k in planted])
    assert (together > 3 * after[planted]).all()
    copies = np.arange(RECORDS, len(copied.x))
    assert (after[copies] < 0.5 * np.repeat(before[planted], COPIES)).all()


def _without_cluster(given: SoftmaxWorld, record: int) -> float:
    """Change of the record's own loss when it and its copies are left out."""
    kept = np.ones(len(given.x))
    kept[record] = 0.0
    kept[RECORDS + record * COPIES : RECORDS + (record + 1) * COPIES] = 0.0
    n = len(given.x)
    theta = fit_softmax(given.x, given.y, classes=2, l2=given.l2, weights=kept, n=n, start=given.theta)
    x, y = given.x[[record]], given.y[[record]]
    return float((given.losses(theta, x, y) - given.losses(given.theta, x, y))[0])


def _found(frames: dict[str, pd.DataFrame], *, minimum: int = 10) -> duplicates.Found:
    found = duplicates.find(
        frames, numeric=None, persons={}, share=0.05, minimum=minimum, generator=np.random.default_rng(0)
    )
    assert found is not None
    return found


def _frame(x: Floats) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{k}" for k in range(x.shape[1])])


def test_every_copy_is_named_in_the_restricted_part_and_counted_in_the_public_one() -> None:
    found = _found({"train": _frame(world(COPIES).x)})
    cluster = found.cluster
    for record in range(PLANTED):
        own = cluster[RECORDS + record * COPIES : RECORDS + (record + 1) * COPIES]
        assert cluster[record] >= 0 and (own == cluster[record]).all()
    assert len(set(cluster[:PLANTED])) == PLANTED
    assert (cluster[PLANTED:RECORDS] == -1).all()
    np.testing.assert_array_equal(found.copied, cluster >= 0)
    public = found.public
    assert public.near_in_train == PLANTED * (COPIES + 1) * COPIES // 2
    assert public.copied is not None and public.copied.events == PLANTED * (COPIES + 1)
    assert public.copied.n == RECORDS + PLANTED * COPIES


def test_copies_in_the_reserve_count_and_those_in_evaluation_do_not() -> None:
    """Retrained models learn from the reserve, and from the evaluation records never."""
    x, rng = world(0).x, np.random.default_rng(1)
    near = x[:12] + 1e-3 * rng.normal(size=(12, WIDTH))
    other = {name: _frame(np.vstack([rng.normal(size=(200, WIDTH)), near])) for name in ("reserve", "evaluation")}
    there = _found({"train": _frame(x), "reserve": other["reserve"]})
    assert there.copied[:12].all() and there.copied.sum() == 12
    assert (there.cluster == -1).all()
    assert there.public.copied is not None and there.public.copied.events == 12
    elsewhere = _found({"train": _frame(x), "evaluation": other["evaluation"]})
    assert not elsewhere.copied.any() and elsewhere.public.near_across == 12


def test_a_few_copied_records_are_a_band() -> None:
    x = world(0).x
    found = _found({"train": _frame(np.vstack([x, x[:2]]))}).public.copied
    assert found is not None and found.value is None and found.events is None
    assert found.low == 0.0 and found.high is not None and found.high > 4 / 402
    exact = _found({"train": _frame(x)}).public.copied
    assert exact is not None and exact.events == 0
