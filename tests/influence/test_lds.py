from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from auditkit.influence.attribution import Attribution, attribute
from benchmarks import worlds
from benchmarks.worlds import COMPAS_FILE, MEASURING, World

Recorder = Callable[[str, object], None]
MEMBERS, REFITS = {"digits": 192, "COMPAS": 192}, {"digits": 16, "COMPAS": 0}
MEMBERS_SEED = 5
FLOORS = {"digits": (0.50, 0.62), "COMPAS": (0.86, 0.92)}
needs_compas = pytest.mark.skipif(not COMPAS_FILE.exists(), reason="shared data absent: compas")
BOTH = pytest.mark.parametrize("name", ["digits", pytest.param("COMPAS", marks=needs_compas)])


def world_of(name: str) -> World:
    return worlds.digits() if name == "digits" else worlds.compas()


def one_model(world: World, slices: dict[str, tuple[torch.Tensor, torch.Tensor]], seed: int) -> Attribution:
    module = worlds.module_of(world, worlds.train_all(world, worlds.everyone(world), [seed]), 0)
    return attribute(
        module, worlds.cross_entropy, (world.x, world.y), slices,
        estimator="ekfac", damping="auto", weight_decay=world.l2, self_influence=False,
    )  # fmt: skip


def of_members(world: World, halves: int, refits: int) -> Attribution:
    masks = worlds.halves(world, halves, seed=MEMBERS_SEED)
    part = worlds.train_all(world, masks, [MEMBERS_SEED * 10_000_000 + k for k in range(halves)])
    members = [(worlds.state_of(part, k), masks[k]) for k in range(halves)]
    if refits:
        every = worlds.everyone(world, refits)
        whole = worlds.train_all(world, every, [MEMBERS_SEED * 10_000_000 + 5000 + k for k in range(refits)])
        members += [(worlds.state_of(whole, k), every[k]) for k in range(refits)]
    return attribute(
        worlds.network(world), worlds.cross_entropy, (world.x, world.y), worlds.group_slices(world),
        estimator="ensemble:ekfac", weight_decay=world.l2, members=members, self_influence=False,
    )  # fmt: skip


@pytest.mark.prove
@pytest.mark.timeout(3600)
@BOTH
def test_lds_at_full_size(name: str, record_property: Recorder) -> None:
    world = world_of(name)
    masks = worlds.halves(world, 60, seed=MEASURING)
    actual = worlds.retrained_losses(world, masks, seed=MEASURING)
    rows = worlds.lds(one_model(world, worlds.row_slices(world), worlds.AUDITED).scores.numpy(), masks, actual)
    record_property("LDS by test row, one model", str(rows))
    by_slice = worlds.slice_means(world, actual)
    single = worlds.lds(one_model(world, worlds.group_slices(world), worlds.AUDITED).scores.numpy(), masks, by_slice)
    record_property("LDS by slice, one model", str(single))
    several = worlds.lds(of_members(world, MEMBERS[name], REFITS[name]).scores.numpy(), masks, by_slice)
    record_property(f"LDS by slice, ensemble of {MEMBERS[name]} halves and {REFITS[name]} refits", str(several))
    assert rows.value >= FLOORS[name][0]
    assert several.value >= FLOORS[name][1]
    assert several.value > single.value


def small(world: World) -> World:
    """A tenth of the work: fewer rows, narrower layers, shorter training."""
    widths = (world.widths[0], 24, world.widths[-1])
    return replace(
        world, x=world.x[:400], y=world.y[:400], x_test=world.x_test[:60], y_test=world.y_test[:60],
        slices={str(c): (world.y_test[:60] == c).nonzero()[:, 0] for c in range(2)}, widths=widths, epochs=8, seeds=1,
    )  # fmt: skip


@BOTH
def test_a_small_world(name: str) -> None:
    world = small(world_of(name))
    masks = worlds.halves(world, 16, seed=MEASURING)
    actual = worlds.retrained_losses(world, masks, seed=MEASURING)
    rows = worlds.lds(one_model(world, worlds.row_slices(world), worlds.AUDITED).scores.numpy(), masks, actual)
    assert rows.low <= rows.value <= rows.high
    assert rows.value > 0.25
    several = of_members(world, 6, 2)
    assert worlds.lds(several.scores.numpy(), masks, worlds.slice_means(world, actual)).value > 0.3


def test_the_score_is_spearmans() -> None:
    chance = np.random.default_rng(0)
    effects, masks = chance.normal(size=(40, 3)), torch.from_numpy(chance.random((12, 40)) < 0.5)
    actual = chance.normal(size=(2, 12, 3))
    predicted = (~masks).double().numpy() @ effects
    each = [stats.spearmanr(predicted[:, s], actual.mean(0)[:, s]).statistic for s in range(3)]
    assert worlds.lds(effects, masks, actual).value == pytest.approx(np.mean(each))


def test_the_ceiling_is_what_a_perfect_predictor_reaches() -> None:
    chance = np.random.default_rng(0)
    expected = chance.normal(size=(4000, 1))
    actual = expected + 0.8 * chance.normal(size=(3, 4000, 1))
    reached = stats.pearsonr(expected[:, 0], actual.mean(0)[:, 0]).statistic
    assert worlds.ceiling(actual) == pytest.approx(reached, abs=0.02)


def test_models_trained_together_are_those_trained_alone() -> None:
    world = small(worlds.digits())
    masks = worlds.halves(world, 3, seed=7)
    together = worlds.train_all(world, masks, [1, 2, 3])
    alone = worlds.train_all(world, masks[1:2], [2])
    for name, value in alone.items():
        torch.testing.assert_close(together[name][1], value[0], rtol=1e-3, atol=1e-4)


def test_subsets_of_different_size_are_refused() -> None:
    world = small(worlds.digits())
    masks = worlds.everyone(world, 2)
    masks[0, 0] = False
    with pytest.raises(ValueError, match="equally many"):
        worlds.train_all(world, masks, [0, 1])
