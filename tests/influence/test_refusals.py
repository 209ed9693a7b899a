from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import DataError, ModelError, NumericsError
from auditkit.influence import attribute, losses
from auditkit.influence.problem import pose
from auditkit.influence.registry import ESTIMATORS
from tests.influence.conftest import posed, random
from tests.worlds import cross_entropy, squared_loss

X = random(20, 3)
Y = torch.arange(20) % 2


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5), nn.AlphaDropout(0.1)])
def test_layers_in_training_mode_are_refused_by_name(layer: nn.Module) -> None:
    module = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2)).double()
    with pytest.raises(ModelError, match=r"training mode.*: 1;.*module\.eval"):
        posed(module, X, Y)
    posed(module.eval(), X, Y)


def test_the_users_module_is_not_touched() -> None:
    module = nn.Linear(3, 2).float().train()
    before = {name: p.clone() for name, p in module.state_dict().items()}
    problem = posed(module, X, Y)
    assert module.training and module.weight.dtype == torch.float32 and module.weight.requires_grad
    assert all(torch.equal(before[name], p) for name, p in module.state_dict().items())
    assert problem.module is not module and not problem.module.training


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (functional.cross_entropy, "one value per record"),
        (lambda z, y: cross_entropy(z, y).sum(), "one value per record"),
        (lambda z, y: cross_entropy(z, y) / len(y), "reduces over the batch"),
        (lambda z, y: functional.cross_entropy(z, y).expand(len(y)) * torch.arange(1, len(y) + 1), "reduces over"),
        (lambda z, y: cross_entropy(z - z.mean(0) * len(z), y), "reduces over the batch"),
    ],
)
def test_a_loss_that_is_not_per_record_is_refused(loss: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        posed(nn.Linear(3, 2).double(), X, Y, loss=loss)  # type: ignore[arg-type]


def test_a_module_that_mixes_records_in_eval_mode_is_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)).double()
    with pytest.raises(ModelError, match="cannot be run on a single record"):
        posed(module.eval(), X, Y)


class Centred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - x.mean(0))


class AlwaysDropped(Centred):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(functional.dropout(x, 0.5, training=True))


@pytest.mark.parametrize("module", [Centred(), AlwaysDropped()])
def test_coupled_or_random_outputs_are_refused_and_the_global_generator_is_left_alone(module: nn.Module) -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(ModelError, match="other records of its batch, or on chance"):
        posed(module.double().eval(), X, Y)
    assert torch.equal(before, torch.random.get_rng_state())


def test_values_that_are_not_finite_are_refused_with_a_count() -> None:
    module = nn.Linear(3, 2).double()
    x = X.clone()
    x[17, 1] = math.nan
    with pytest.raises(NumericsError, match="loss of training records 0 to 19: 1 of 20"):
        posed(module, x, Y)
    with torch.no_grad():
        module.weight[0, 0] = math.inf
    with pytest.raises(NumericsError, match="parameters are not finite: weight"):
        posed(module, X, Y)


def test_weight_decay_and_weights_are_checked() -> None:
    module = nn.Linear(3, 2).double()
    with pytest.raises(ModelError, match=r"does not train: weigth"):
        posed(module, X, Y, l2={"weigth": 1.0})
    with pytest.raises(ModelError, match="not negative"):
        posed(module, X, Y, l2=-1.0)
    with pytest.raises(DataError, match="20 finite numbers"):
        posed(module, X, Y, weights=-torch.ones(20))
    with pytest.raises(DataError, match="differ in rows"):
        posed(module, X[:5], Y)


def test_frozen_parameters_are_no_part_of_the_problem() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    module[0].requires_grad_(False)
    problem = posed(module, X, Y)
    assert problem.layout.names == ("1.weight", "1.bias")
    module.requires_grad_(False)
    with pytest.raises(ModelError, match="no trainable parameter"):
        posed(module, X, Y)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[B\], \[B, C\] or \[B, T, C\].*\(2, 3, 1, 1\)"):
        pose(_Deep(), squared_loss, (X,), X[:, 0])


class _Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (self.scale * x)[:, :, None, None]


def _mean_of_batch(y: Tensor) -> Tensor:
    return y.double().mean()


MIXING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "outputs [B, 1] against targets [B]": lambda z, y: (z[:, :1] - y).square().mean(1),
    "centred on the batch": lambda z, y: cross_entropy(z - z.mean(0), y),
    "weighted by the batch's class shares": lambda z, y: (
        cross_entropy(z, y) * torch.where(y == 1, 1 / (_mean_of_batch(y) + 0.1), 1 / (1.1 - _mean_of_batch(y)))
    ),
    "scaled by the batch's spread": lambda z, y: cross_entropy(z / (z.std(0, correction=0) + 1), y),
    "ranked against the batch": lambda z, y: torch.relu(1 - z[:, :1] + z[:, 0]).mean(1) + y * 0.1,
    "hardest examples only": lambda z, y: cross_entropy(z, y) * (cross_entropy(z, y) >= cross_entropy(z, y).median()),
    "shifted by the largest output": lambda z, y: (z[:, 0] - z.max() - y).square(),
    "contrast with the neighbour": lambda z, y: (z[:, 0] - z.roll(1, 0)[:, 0] - y).square(),
    "softmax over records": lambda z, y: -torch.log_softmax(z, 0).gather(1, y[:, None])[:, 0] / 2,
    "by the position in the batch": lambda z, y: cross_entropy(z, y) * (1 + torch.arange(len(y)) % 2),
    "divided by the batch's root mean square": lambda z, y: z[:, 0].square() / (z[:, 0].square().mean() + 1e-3),
}


@pytest.mark.parametrize("name", sorted(MIXING))
def test_a_loss_that_mixes_records_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"the loss of a record (is another one alone|changes when the batch)"):
        posed(nn.Linear(3, 2).double(), X, Y, loss=MIXING[name])


class Wrapped(nn.Module):
    """A function around one layer."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], object]) -> None:
        super().__init__()
        self.linear, self.given = nn.Linear(3, 1), forward

    def forward(self, x: Tensor) -> object:
        return self.given(self.linear, x)


def _without_gradient(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x)[:, 0]


def _in_inference_mode(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return layer(x)[:, 0]


def _written_over(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.sigmoid(layer(x))
    hidden += 1
    return hidden[:, 0]


def _doubled_inputs(layer: nn.Module, x: Tensor) -> Tensor:
    x *= 2
    return layer(x)[:, 0]


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.weight.dtype) @ self.weight).abs()


LINE = Wrapped(lambda layer, x: layer(x)[:, 0])  # type: ignore[operator]
ONE = (Y > 0).double()
GIVEN, BINARY = (X, ONE), losses.binary()
TROUBLES: dict[str, tuple[Callable[[], object], Callable[[Tensor, Tensor], object], tuple[Tensor, Tensor], str]] = {
    "no gradient": (lambda: Wrapped(_without_gradient), BINARY, GIVEN, "differentiable.*no_grad"),
    "inference mode": (lambda: Wrapped(_in_inference_mode), BINARY, GIVEN, "differentiable.*inference_mode"),
    "detached": (lambda: Wrapped(lambda m, x: m(x)[:, 0].detach()), BINARY, GIVEN, "differentiable.*detach"),
    "through numpy": (
        lambda: Wrapped(lambda m, x: torch.from_numpy(m(x).detach().numpy())[:, 0]),
        BINARY,
        GIVEN,
        "do not depend on the trained parameters",
    ),
    "decisions": (lambda: Wrapped(lambda m, x: (m(x)[:, 0] > 0).long()), BINARY, GIVEN, "int64, not real.*logits"),
    "written over": (lambda: Wrapped(_written_over), BINARY, GIVEN, "cannot be differentiated.*in place"),
    "inputs written over": (lambda: Wrapped(_doubled_inputs), BINARY, GIVEN, "changes its inputs in place"),
    "complex parameters": (Complex, BINARY, GIVEN, "parameters are complex: weight"),
    "lazy layers": (
        lambda: nn.Sequential(nn.LazyLinear(1), nn.Flatten(0)),
        BINARY,
        GIVEN,
        "lazy layers.*0.weight",
    ),
    "several devices": (lambda: nn.DataParallel(LINE), BINARY, GIVEN, "DataParallel.*module.module"),
    "several devices inside": (
        lambda: nn.Sequential(nn.DataParallel(nn.Linear(3, 1)), nn.Flatten(0)),
        BINARY,
        GIVEN,
        "DataParallel",
    ),
    "a function": (lambda: LINE.forward, BINARY, GIVEN, "must be a torch.nn.Module, not method"),
    "a pair of outputs": (lambda: Wrapped(lambda m, x: (m(x), x)), BINARY, GIVEN, "it gave tuple"),
    "inputs of another width": (lambda: LINE, BINARY, (X[:, :2], ONE), "cannot be run.*own precision either"),
    "integers for numbers": (lambda: LINE, BINARY, ((3 * X).long(), ONE), "int64.*numbers in floating point"),
    "outputs [B, 1]": (
        lambda: nn.Linear(3, 1),
        nn.BCEWithLogitsLoss(reduction="none"),
        GIVEN,
        r"same shape.*squeeze\(-1\)",
    ),
    "outputs [B, 1], spread": (
        lambda: nn.Linear(3, 1),
        lambda z, y: (z - y).square(),
        GIVEN,
        r"one value per record.*spread.*unsqueeze",
    ),
    "probabilities [B, 1]": (
        lambda: nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()),
        nn.BCELoss(reduction="none"),
        GIVEN,
        "same shape",
    ),
    "targets of integers": (
        lambda: LINE,
        nn.BCEWithLogitsLoss(reduction="none"),
        (X, Y),
        "targets over in floating point",
    ),
    "targets of numbers": (
        lambda: nn.Linear(3, 2),
        nn.CrossEntropyLoss(reduction="none"),
        GIVEN,
        "class numbers",
    ),
    "classes beyond the outputs": (
        lambda: nn.Linear(3, 2),
        nn.CrossEntropyLoss(reduction="none"),
        (X, Y + 1),
        "between 0 and 1",
    ),
    "a loss of three": (lambda: LINE, lambda z, y, w: z, GIVEN, "cannot be computed.*missing 1 required"),
    "a loss that is a number": (lambda: LINE, lambda z, y: 1.0, GIVEN, "must give a tensor.*float"),
    "a loss that detaches": (lambda: LINE, lambda z, y: (z.detach() - y).square(), GIVEN, "loss does not depend on"),
    "a loss in numpy": (
        lambda: LINE,
        lambda z, y: torch.from_numpy((z.detach().numpy() - y.numpy()) ** 2),
        GIVEN,
        "numpy",
    ),
    "a scalar for one record": (
        lambda: nn.Linear(3, 1),
        lambda z, y: (z.squeeze() - y.squeeze()).square(),
        GIVEN,
        r"shape \(1,\).*squeeze\(-1\)",
    ),
}


@pytest.mark.parametrize("estimator", ["exact", "ekfac", "cg"])
@pytest.mark.parametrize("name", sorted(TROUBLES))
def test_what_torch_cannot_do_is_said_with_what_to_do(name: str, estimator: str) -> None:
    make, loss, (x, y), message = TROUBLES[name]
    module = make()
    if isinstance(module, nn.Module) and "lazy" not in name:
        module = module.double().eval() if name != "complex parameters" else module.eval()
    with pytest.raises(ModelError, match=message):
        attribute(module, loss, (x.clone(), y), {"all": (x.clone(), y)}, estimator=estimator)  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_a_record_whose_derivatives_are_not_finite_is_named(estimator: str) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double().eval()
    x = X.clone()
    x[13, 1] = math.inf
    with pytest.raises(NumericsError, match=r"a training record are not finite; the first is record 13 .*inf or NaN"):
        attribute(module, cross_entropy, (x, Y), {"all": (X, Y)}, estimator=estimator, weight_decay=1e-2)
    with pytest.raises(NumericsError, match=r"slice 'far': losses of 1 records are not finite"):
        x[13, 1] = math.nan
        attribute(module, cross_entropy, (X, Y), {"near": (X, Y), "far": (x, Y)}, estimator=estimator)


@pytest.mark.parametrize("estimator", ["exact", "ekfac", "cg"])
def test_sparse_tables_frozen_parts_and_half_precision_are_served(estimator: str) -> None:
    def made(sparse: bool) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Embedding(5, 3, sparse=sparse), nn.Flatten(), nn.Linear(6, 2)).eval()

    codes = torch.arange(40).reshape(20, 2) % 5
    given = {"estimator": estimator, "weight_decay": 1e-2}
    sparse, dense = (
        attribute(made(kind), cross_entropy, (codes, Y), {"all": (codes, Y)}, **given)
        for kind in (True, False)  # type: ignore[arg-type]
    )
    torch.testing.assert_close(sparse.scores, dense.scores)
    counted = made(False)
    counted.register_parameter("calls", nn.Parameter(torch.tensor(3), requires_grad=False))
    with_number = attribute(counted, cross_entropy, (codes, Y), {"all": (codes, Y)}, **given)  # type: ignore[arg-type]
    torch.testing.assert_close(with_number.scores, dense.scores)
    half = attribute(made(False).half(), cross_entropy, (codes, Y), {"all": (codes, Y)}, **given)  # type: ignore[arg-type]
    torch.testing.assert_close(half.scores, dense.scores, rtol=0.05, atol=0.02 * float(dense.scores.abs().max()))
