"""Averages over members: against the members scored by hand, against retraining, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from auditkit.errors import DataError, ModelError, PolicyError
from auditkit.influence import Attribution, attribute
from auditkit.influence.models import State
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.worlds import breast_cancer, cross_entropy, fit_softmax, leave_one_out, slices_of

Network = tuple[nn.Sequential, Tensor, Tensor]
Members = list[tuple[State, Tensor]]
Record = Callable[[str, object], None]


def halves(n: int, count: int, *, seed: int = 0) -> Tensor:
    """[count, n] random halves and their complements in turn, so that each record is in half of the members."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, n, dtype=torch.bool)
    for k in range(0, count, 2):
        masks[k, torch.randperm(n, generator=generator)[: n // 2]] = True
        masks[k + 1] = ~masks[k]
    return masks


def shaken(module: nn.Module, count: int) -> list[State]:
    generator = torch.Generator().manual_seed(3)
    return [
        {k: v + 0.1 * torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in module.state_dict().items()}
        for _ in range(count)
    ]


def on_network(mlp: Network, **given: Any) -> Attribution:
    module, x, y = mlp
    return attribute(
        module, cross_entropy, (x, y), {"even": (x[::2], y[::2]), "odd": (x[1::2], y[1::2])}, weight_decay=1e-2, **given
    )


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_members_on_all_records_with_the_same_state_change_nothing(mlp: Network, name: str) -> None:
    everyone = torch.ones(len(mlp[2]), dtype=torch.bool)
    members = [(copy.deepcopy(mlp[0].state_dict()), everyone) for _ in range(2)]
    got, one = on_network(mlp, estimator=f"ensemble:{name}", members=members), on_network(mlp, estimator=name)
    torch.testing.assert_close(got.scores, one.scores, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(got.self_influence, one.self_influence, rtol=1e-9, atol=1e-15)


def test_each_record_is_averaged_over_the_members_that_contain_it(mlp: Network) -> None:
    module, x, y = mlp
    masks = torch.cat([halves(len(y), 4), torch.arange(len(y)).unsqueeze(0) < 30])
    weights = random(len(y), seed=9).abs() + 0.2
    states = shaken(module, 5)
    got = on_network(
        mlp,
        estimator="ensemble:exact",
        damping=0.01,
        members=list(zip(states, masks, strict=True)),
        sample_weight=weights,
    )
    total, own = torch.zeros(len(y), 2, dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
    for state, mask in zip(states, masks, strict=True):
        member = copy.deepcopy(module)
        member.load_state_dict(state)
        problem = posed(member, x[mask], y[mask], weights=weights[mask])
        scores = score(problem, ESTIMATORS["exact"](damping=0.01).fit(problem), mean_losses(problem, x, y))
        for at, n in enumerate(mask.nonzero().flatten().tolist()):
            total[n] += scores.effects[at] * int(mask.sum()) / len(y)
            own[n] += scores.self_influence[at] * int(mask.sum()) / len(y)
    torch.testing.assert_close(got.scores, total / masks.sum(0).unsqueeze(1))
    torch.testing.assert_close(got.self_influence, own / masks.sum(0))
    said = {q.name: q for q in got.quality}
    assert said["method"].text == "ensemble. Named by the caller."
    assert said["members"].value == 5 and "in 2 to 3 of them" in said["members"].text
    assert said["gradient norm"].text.startswith("Member 1: ")


def test_halves_of_a_convex_world_give_the_size_and_sign_of_the_whole() -> None:
    world = breast_cancer(l2=1e-2)
    x, y, n = torch.from_numpy(world.x), torch.from_numpy(world.y), len(world.y)
    members: Members = []
    for mask in halves(n, 12):
        weights, count = mask.double().numpy(), int(mask.sum())
        theta = torch.from_numpy(fit_softmax(world.x, world.y, classes=2, l2=world.l2, weights=weights, n=count))
        members.append(({"weight": theta[:, :-1], "bias": theta[:, -1]}, mask))
    chosen = torch.from_numpy(slices_of(world)) > 0
    xe, ye = torch.from_numpy(world.x_eval), torch.from_numpy(world.y_eval)
    slices = {str(s): (xe[chosen[:, s]], ye[chosen[:, s]]) for s in range(3)}
    got = attribute(world.module(), cross_entropy, (x, y), slices, weight_decay=world.l2, members=members)
    rows = np.arange(0, n, 5)
    actual, own = leave_one_out(world, slices_of(world), rows)
    for s in range(3):
        predicted = got.scores[rows, s].numpy()
        assert np.corrcoef(predicted, actual[:, s])[0, 1] >= 0.9
        assert np.mean(np.sign(predicted) == np.sign(actual[:, s])) >= 0.9
        assert 0.7 <= predicted @ actual[:, s] / (actual[:, s] @ actual[:, s]) <= 1.3
    assert got.self_influence is not None
    assert spearmanr(got.self_influence[rows].numpy(), own)[0] >= 0.9
    assert {q.name: q.value for q in got.quality}["agreement of halves"] >= 0.8


def train_all(x: Tensor, y: Tensor, masks: Tensor, *, seed: int, steps: int = 300) -> list[State]:
    """One small network for each mask, all at once, each from a start of its own, by Adam on its own records."""
    generator = torch.Generator().manual_seed(seed)
    count, width = len(masks), 8
    shapes = [(width, x.shape[1]), (width,), (3, width), (3,)]
    own = [0.5 * torch.randn(count, *s, generator=generator, dtype=torch.float64) for s in shapes]
    for p in own:
        p.requires_grad_()
    optimiser = torch.optim.Adam(own, lr=0.03)
    share = masks.double() / masks.sum(1, keepdim=True)
    for _ in range(steps):
        optimiser.zero_grad()
        hidden = torch.tanh(x @ own[0].transpose(1, 2) + own[1].unsqueeze(1))
        outputs = hidden @ own[2].transpose(1, 2) + own[3].unsqueeze(1)
        losses = cross_entropy(outputs.flatten(0, 1), y.repeat(count)).view(count, -1)
        objective = (losses * share).sum() + 0.5 * L2 * sum(p.square().sum() for p in own)
        objective.backward()
        optimiser.step()
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    return [{n: p[k].detach() for n, p in zip(names, own, strict=True)} for k in range(count)]


L2 = 2e-3


def test_on_a_network_the_ensemble_predicts_retraining_better_than_one_model(record_property: Record) -> None:
    x, n = random(80, 4), 80
    y = (x @ random(4, 3, seed=1) + 1.5 * random(80, 3, seed=2)).argmax(1)
    xe = random(60, 4, seed=5)
    ye = (xe @ random(4, 3, seed=1) + 1.5 * random(60, 3, seed=6)).argmax(1)
    slices = {str(c): (xe[ye == c], ye[ye == c]) for c in range(3)}
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double().eval()
    module.load_state_dict(train_all(x, y, torch.ones(1, n, dtype=torch.bool), seed=7)[0])
    masks = halves(n, 24)
    members = list(zip(train_all(x, y, masks, seed=8), masks, strict=True))
    # The truth rests on models of other halves and other seeds; four seeds of each half are averaged.
    subsets = halves(n, 40, seed=99)
    truth = torch.zeros(len(subsets), 3, dtype=torch.float64)
    for seed in range(4):
        for k, state in enumerate(train_all(x, y, subsets, seed=100 + seed)):
            module_k = copy.deepcopy(module)
            module_k.load_state_dict(state)
            with torch.no_grad():
                truth[k] += torch.stack([cross_entropy(module_k(a), b).mean() for a, b in slices.values()]) / 4

    def fidelity(got: Attribution) -> float:
        predicted = (~subsets).double() @ got.scores
        return float(np.mean([spearmanr(predicted[:, s].numpy(), truth[:, s].numpy())[0] for s in range(3)]))

    given: dict[str, Any] = {"weight_decay": L2, "damping": 0.01}
    one = fidelity(attribute(module, cross_entropy, (x, y), slices, estimator="exact", **given))
    many = fidelity(
        attribute(module, cross_entropy, (x, y), slices, estimator="ensemble:exact", members=members, **given)
    )
    record_property("fidelity of one model and of the ensemble", (round(one, 3), round(many, 3)))
    assert many >= one + 0.05 and many >= 0.4, (one, many)


def test_members_that_cannot_be_used_are_refused(mlp: Network) -> None:
    module, n = mlp[0], len(mlp[2])
    state, everyone = copy.deepcopy(module.state_dict()), torch.ones(n, dtype=torch.bool)
    nobody, most = torch.zeros(n, dtype=torch.bool), torch.arange(n) >= 4
    for members, error, words in (
        ([], PolicyError, "at least one member"),
        ([(state, everyone.double())], DataError, r"mask of member 1 must be a boolean tensor of shape \(120,\)"),
        ([(state, everyone[:3])], DataError, "mask of member 1"),
        ([(state, everyone), (copy.deepcopy(state), nobody)], DataError, "member 2 contains fewer than 2"),
        ([(state, most)], DataError, "4 of 120 training records are in no member"),
        ([(module.state_dict(), everyone), (module.state_dict(), everyone)], ModelError, "share the memory"),
        ([({"weight": state["0.weight"]}, everyone)], ModelError, "member 1 does not fit"),
    ):
        with pytest.raises(error, match=words):
            on_network(mlp, members=members)


def test_a_single_member_says_that_agreement_is_unknown(mlp: Network) -> None:
    got = on_network(mlp, members=[(copy.deepcopy(mlp[0].state_dict()), torch.ones(len(mlp[2]), dtype=torch.bool))])
    said = {q.name: q for q in got.quality}["agreement of halves"]
    assert said.value is None and said.warns
