"""DP-SGD through Opacus: Poisson sampling, one-record gradients clipped, Gaussian noise, an accountant.

theta <- theta - rate (1/B (sum of clipped one-record gradients + N(0, (sigma C)^2)) + L2 theta), B the expected batch.
Source: Abadi et al., Deep Learning with Differential Privacy, CCS 2016, algorithm 1; Mironov et al., 2019, arXiv
1908.10530, for the accountant; Yousefpour et al., 2021, arXiv 2109.12298, for Opacus. The L2 term looks at no record.

The guarantee is for one record added to or removed from the rows of one model, and speaks of the parameters given the
encoding: means, scales and levels of the columns are taken as known. It is wrong for a release, because noise and
samples here are drawn from a seeded generator that whoever knows the seed can repeat.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from auditkit.errors import ModelError
from auditkit.policy.remedies import DpSgd
from auditkit.subject.fitting import Batch
from auditkit.subject.model import initialise, loss

if TYPE_CHECKING:
    from opacus.optimizers import DPOptimizer

ACCOUNTANT: Final = "rdp"
_ORDERS: Final = "Optimal order is the (largest|smallest) alpha"
"""The accountant's hint that its bound could be tighter; it holds all the same."""
_HOOK: Final = "Full backward hook is firing"
"""torch says of Opacus's hooks that no input asks for a gradient; they read those of the outputs."""


@dataclass(frozen=True)
class Schedule:
    """How one model is trained privately, and what it costs."""

    settings: DpSgd
    rate: float
    """Probability with which a record is in a step's batch."""
    steps: int
    expected: int
    """Records expected in a step, by which the noisy sum is divided."""
    noise: float
    """Standard deviation of the noise in units of the clip."""
    epsilon: float
    """What the accountant gives after all steps, at `settings.delta`."""


def schedule(settings: DpSgd, records: int) -> Schedule:
    """Noise for the stated epsilon, from Opacus's Rényi accountant.

    Args:
        settings: target epsilon and delta, batch, epochs. records: the rows of the smallest half.

    Raises:
        ModelError: no noise that the accountant knows reaches the target.
    """
    from opacus.accountants import RDPAccountant
    from opacus.accountants.utils import get_noise_multiplier

    rate = min(1.0, settings.batch / records)
    steps = max(1, math.ceil(settings.epochs / rate))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_ORDERS, category=UserWarning)
        try:
            noise = get_noise_multiplier(
                target_epsilon=settings.epsilon, target_delta=settings.delta, sample_rate=rate, steps=steps,
                accountant=ACCOUNTANT, epsilon_tolerance=0.001 * settings.epsilon,
            )  # fmt: skip
        except ValueError as error:
            raise ModelError(f"no noise reaches epsilon {settings.epsilon:g}: {error}") from error
        accountant = RDPAccountant()
        accountant.history = [(noise, rate, steps)]
        spent = float(accountant.get_epsilon(settings.delta))
    return Schedule(settings, rate, steps, min(settings.batch, records), float(noise), spent)


def descend(
    module: nn.Module, batch: Batch, plan: Schedule, *, l2: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Train one model; parameters by name. `module` is a template and stays as it is but for its start.

    Args:
        module: the architecture. batch: encoded rows of one half. plan: noise, sampling and steps.
        l2: penalty of the recipe. generator: draws start, samples and noise.

    Raises:
        ModelError: Opacus cannot train this module one record at a time.
    """
    from opacus.utils.uniform_sampler import UniformWithReplacementSampler

    optimizer, wrapped = prepared(module, plan, l2=l2, generator=generator)
    sampler = UniformWithReplacementSampler(
        num_samples=len(batch), sample_rate=plan.rate, generator=generator, steps=plan.steps
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_HOOK, category=UserWarning)
        for step, rows in enumerate(sampler):
            for group in optimizer.param_groups:
                group["lr"] = 0.5 * plan.settings.learning_rate * (1 + math.cos(math.pi * step / plan.steps))
            gradients(wrapped, batch.take(torch.tensor(rows, dtype=torch.int64)))
            optimizer.step()
            optimizer.zero_grad()
    return {name.removeprefix("_module."): p.detach().clone() for name, p in wrapped.named_parameters()}


def gradients(wrapped: nn.Module, part: Batch) -> None:
    """Leave every row's own gradient in `grad_sample` of each parameter; with no row, empty ones."""
    if len(part):
        (part.weights * loss(wrapped(*part.inputs), part.targets)).sum().backward()  # type: ignore[no-untyped-call]
        return
    for parameter in wrapped.parameters():
        parameter.grad_sample = torch.zeros(0, *parameter.shape, dtype=parameter.dtype)  # type: ignore[attr-defined]


def prepared(
    module: nn.Module, plan: Schedule, *, l2: float, generator: torch.Generator
) -> tuple[DPOptimizer, nn.Module]:
    """Opacus's optimiser and module at the start of training: zeros for a logistic regression, else drawn.

    Raises:
        ModelError: Opacus cannot train this module one record at a time.
    """
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer
    from opacus.validators import ModuleValidator

    from auditkit.subject.model import Logistic

    initialise(module, generator)
    if isinstance(module, Logistic):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
    module.train()
    faults = ModuleValidator.validate(module, strict=False)
    if faults:
        raise ModelError(f"Opacus cannot train this module: {faults[0]}")
    wrapped = GradSampleModule(module, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=plan.settings.learning_rate, weight_decay=l2),
        noise_multiplier=plan.noise, max_grad_norm=plan.settings.clip,
        expected_batch_size=plan.expected, loss_reduction="mean", generator=generator,
    )  # fmt: skip
    return optimizer, wrapped
