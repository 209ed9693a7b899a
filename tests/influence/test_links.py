"""The same model stated in several outputs has the same scores, and they are those of retraining."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import ModelError
from auditkit.influence import attribute
from auditkit.influence.links import LINKS
from auditkit.influence.measures import Measure, state_evaluation
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import score
from tests.influence.conftest import posed, random

N = 40
X = random(N, 3, seed=1)
CLASSES = torch.arange(N) % 3
LABELS = (X[:, 0] + 0.5 * random(N, seed=2) > 0).double()
BOTH = (random(N, 2, seed=3) > 0).double()
COUNTS = (X[:, 0].exp() * 1.5).floor()
SOFT = torch.softmax(random(N, 3, seed=4), 1)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
SEQUENCE = random(N, 2, 3, seed=5)
TOKENS = torch.arange(2 * N).reshape(N, 2) % 3

Loss = Callable[[Tensor, Tensor], Tensor]


class End(nn.Module):
    """A network with a function of its outputs behind it, not a layer that could be found by its kind."""

    def __init__(self, body: nn.Module, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.end = body, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


def _picked(values: Tensor, targets: Tensor) -> Tensor:
    return -values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _both_signs(z: Tensor) -> Tensor:
    return torch.cat([functional.logsigmoid(-z), functional.logsigmoid(z)], 1)


@dataclass(frozen=True)
class Form:
    """A model stated in other outputs, and the same in logits (or log-rates)."""

    link: str
    outputs: int
    end: Callable[[Tensor], Tensor] | nn.Module
    loss: Loss
    plain: Loss
    targets: Tensor
    inputs: Tensor = X
    flat: bool = False

    def body(self, *, hidden: bool) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            parts = [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, self.outputs)] if hidden else [nn.Linear(3, self.outputs)]
            return nn.Sequential(*parts, *([nn.Flatten(0)] if self.flat else [])).double().eval()

    def stated(self, body: nn.Module) -> nn.Module:
        return nn.Sequential(body, self.end).eval() if isinstance(self.end, nn.Module) else End(body, self.end).eval()


CE: Loss = lambda z, y: functional.cross_entropy(z, y, reduction="none")  # noqa: E731
BCE: Loss = lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="none")  # noqa: E731
FORMS: dict[str, Form] = {
    "log-softmax layer, nll": Form(
        "log-softmax", 3, nn.LogSoftmax(1), nn.NLLLoss(reduction="none"), CE, CLASSES
    ),
    "log-softmax function, nll": Form("log-softmax", 3, lambda z: torch.log_softmax(z, 1), _picked, CE, CLASSES),
    "log-softmax, class weights": Form(
        "log-softmax", 3, nn.LogSoftmax(1), nn.NLLLoss(weight=WEIGHTS, reduction="none"),
        lambda z, y: functional.cross_entropy(z, y, weight=WEIGHTS, reduction="none"), CLASSES,
    ),
    "log-softmax, soft targets": Form(
        "log-softmax", 3, nn.LogSoftmax(1), lambda z, y: -(y * z).sum(1), lambda z, y: functional.cross_entropy(
            z, y, reduction="none"), SOFT,
    ),
    "log-softmax, divergence": Form(
        "log-softmax", 3, nn.LogSoftmax(1), lambda z, y: functional.kl_div(z, y, reduction="none").sum(1),
        lambda z, y: functional.kl_div(torch.log_softmax(z, 1), y, reduction="none").sum(1), SOFT,
    ),
    "log-softmax of log-sigmoids": Form(
        "log-softmax", 1, _both_signs, _picked, lambda z, y: BCE(z[:, 0], y.double()), CLASSES % 2
    ),
    "log-softmax, sequences": Form(
        "log-softmax", 3, nn.LogSoftmax(2), lambda z, y: _picked(z, y).sum(1),
        lambda z, y: CE(z.mT, y).sum(1), TOKENS, inputs=SEQUENCE,
    ),
    "softmax, minus log": Form(
        "softmax", 3, nn.Softmax(1), lambda p, y: -p.gather(1, y[:, None])[:, 0].log(), CE, CLASSES
    ),
    "softmax, nll of the log": Form("softmax", 3, nn.Softmax(-1), lambda p, y: _picked(p.log(), y), CE, CLASSES),
    "sigmoid, BCELoss": Form("logit", 1, nn.Sigmoid(), nn.BCELoss(reduction="none"), BCE, LABELS, flat=True),
    "sigmoid function, minus log": Form(
        "logit", 1, torch.sigmoid, lambda p, y: -(y * p.log() + (1 - y) * (1 - p).log()), BCE, LABELS, flat=True
    ),
    "sigmoid of two labels": Form(
        "logit", 2, nn.Sigmoid(), lambda p, y: nn.BCELoss(reduction="none")(p, y).sum(1),
        lambda z, y: BCE(z, y).sum(1), BOTH,
    ),
    "exponential, Poisson": Form(
        "log", 1, torch.exp, nn.PoissonNLLLoss(log_input=False, reduction="none", eps=0.0),
        nn.PoissonNLLLoss(reduction="none"), COUNTS, flat=True,
    ),
}  # fmt: skip


def scores(module: nn.Module, loss: Loss, form: Form, estimator: str) -> tuple[Tensor, Tensor]:
    slices = {"a": (form.inputs[:15], form.targets[:15]), "b": (form.inputs[20:], form.targets[20:])}
    found = attribute(module, loss, (form.inputs, form.targets), slices, estimator=estimator, weight_decay=2e-2)
    assert found.self_influence is not None
    return found.scores, found.self_influence


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("name", sorted(FORMS))
def test_every_estimator_gives_the_scores_of_the_logits(name: str, estimator: str) -> None:
    form = FORMS[name]
    body = form.body(hidden=estimator != "lissa")
    plain, stated = form.stated(copy.deepcopy(body)), copy.deepcopy(body)
    mine, own = scores(plain, form.loss, form, estimator)
    wanted, wanted_own = scores(stated, form.plain, form, estimator)
    assert float(wanted.abs().max()) > 0
    # Iterative estimators stop at a residual; the others differ by rounding only.
    close = {"lissa": 1e-3, "cg": 1e-5, "arnoldi": 1e-5}.get(estimator, 1e-7)
    torch.testing.assert_close(mine, wanted, rtol=close, atol=close * float(wanted.abs().max()))
    torch.testing.assert_close(own, wanted_own, rtol=close, atol=close * float(wanted_own.abs().max()))


def trained(module: nn.Module, loss: Loss, form: Form, weights: Tensor, *, l2: float) -> nn.Module:
    """Minimiser of sum weights_n l_n + l2/2 |theta|²."""
    parameters = list(module.parameters())
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=400, tolerance_grad=1e-11, tolerance_change=1e-15, history_size=30,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = (loss(module(form.inputs), form.targets) * weights).sum()
        value = value + l2 / 2 * sum(p.square().sum() for p in parameters)
        value.backward()
        return value

    optimiser.step(closure)
    return module


RETRAINED = ("log-softmax layer, nll", "softmax, minus log", "sigmoid, BCELoss", "exponential, Poisson")


@pytest.mark.parametrize("name", RETRAINED)
def test_scores_are_those_of_retraining_and_those_of_the_uncut_outputs_are_not(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    form, l2 = FORMS[name], 1e-2
    even = torch.full((N,), 1 / N, dtype=torch.float64)
    module = trained(form.stated(form.body(hidden=False)), form.loss, form, even, l2=l2)
    problem = posed(module, form.inputs, form.targets, loss=form.loss, l2=l2)
    assert problem.link.name == form.link
    masks = torch.stack([(torch.arange(N) % 2 == s).double() for s in range(2)])
    measures = [Measure(f"{s}", "loss", mask / mask.sum()) for s, mask in enumerate(masks)]
    evaluation = state_evaluation(problem, (form.inputs,), form.targets, measures)

    def values(of: nn.Module) -> Tensor:
        return (masks / masks.sum(1, keepdim=True)) @ form.loss(of(form.inputs), form.targets).detach()

    actual = torch.stack(
        [
            values(trained(copy.deepcopy(module), form.loss, form, even * (torch.arange(N) != i), l2=l2))
            for i in range(0, N, 3)
        ]
    ) - values(module)
    slopes = {}
    for link in (problem.link, LINKS["identity"]):
        cut = replace(problem, link=link)
        try:
            found = score(cut, ESTIMATORS["exact"](damping=0.0).fit(cut), evaluation).effects[::3]
        except ModelError:
            continue
        slopes[link.name] = float((found * actual).sum() / actual.square().sum())
        record_property(f"slope {link.name}", round(slopes[link.name], 4))
        if link is problem.link:
            pair = torch.stack([found.flatten(), actual.flatten()])
            assert float(torch.corrcoef(pair)[0, 1]) > 0.995
    assert slopes[form.link] == pytest.approx(1, abs=0.05)
    if "identity" in slopes:
        # Taken at the module's own outputs the curvature is another one, and so are the sizes.
        assert abs(slopes["identity"] - 1) > 2 * abs(slopes[form.link] - 1)


ALONE: dict[str, tuple[int, Callable[[Tensor], Tensor], Loss, Tensor]] = {
    "logits with cross-entropy": (3, lambda z: z, CE, CLASSES),
    "squared loss of probabilities": (1, torch.sigmoid, lambda p, y: (p[:, 0] - y).square(), LABELS),
    "Brier score of softmax": (3, lambda z: torch.softmax(z, 1), lambda p, y: (p - y).square().sum(1), SOFT),
    "cross-entropy of probabilities": (3, lambda z: torch.softmax(z, 1), CE, CLASSES),
    "squared loss of positive outputs": (1, torch.exp, lambda m, y: (m[:, 0] - y).square(), COUNTS),
    "squared loss of outputs between 0 and 1": (
        1, lambda z: 0.5 + 0.01 * z, lambda p, y: (p[:, 0] - y).square(), LABELS,
    ),
    "exponential loss of positive outputs": (1, torch.exp, lambda m, y: m[:, 0].log().cosh(), COUNTS),
    "logits between 0 and 1": (1, lambda z: 0.5 + 0.01 * z, lambda z, y: BCE(z[:, 0], y), LABELS),
    "nll of outputs that are not normalised": (3, lambda z: z, _picked, CLASSES),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ALONE))
def test_outputs_that_are_no_parameters_under_their_loss_stay_as_they_are(name: str) -> None:
    outputs, end, loss, targets = ALONE[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = End(nn.Linear(3, outputs), end).double().eval()
    assert posed(module, X, targets, loss=loss).link.name == "identity"


def test_measures_are_given_the_outputs_of_the_module() -> None:
    form = FORMS["log-softmax layer, nll"]
    body = form.body(hidden=True)
    given = (form.inputs, form.targets)
    stated = attribute(
        form.stated(body), form.loss, given, {"a": given}, measure=lambda z: z[:, 1].exp(), weight_decay=1e-2
    )
    plain = attribute(body, CE, given, {"a": given}, measure=lambda z: torch.softmax(z, 1)[:, 1], weight_decay=1e-2)
    torch.testing.assert_close(stated.scores, plain.scores, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(stated.values, plain.values)
    assert any(q.name == "outputs" and "log-probabilities" in q.text for q in stated.quality)
    assert not any(q.name == "outputs" for q in plain.quality)


def test_probabilities_rounded_to_one_against_the_label_are_refused_and_with_it_are_not() -> None:
    form = FORMS["sigmoid, BCELoss"]
    module = form.stated(form.body(hidden=False))
    module[0][0].weight.data = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64)
    agreeing = (X[:, 0] > 0).double()
    given = (X, agreeing)
    found = attribute(module, form.loss, given, {"a": given}, weight_decay=1e-2, estimator="exact")
    assert bool(torch.isfinite(found.scores).all())
    wrong = agreeing.clone()
    wrong[int(X[:, 0].argmax())] = 0
    with pytest.raises(ModelError, match=r"1 of training records.*so close to 0 or 1.*logits"):
        attribute(module, form.loss, (X, wrong), {"a": given}, weight_decay=1e-2, estimator="exact")
    with pytest.raises(ModelError, match=r"1 of the slices' records.*logits"):
        attribute(module, form.loss, given, {"a": (X, wrong)}, weight_decay=1e-2, estimator="ekfac")
