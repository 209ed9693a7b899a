"""All networks of a bank at once: the audited recipe's minibatch descent over stacked parameters.

Every model starts from its own generator and shuffles its own rows by it, in the order in which `subject.fitting`
draws, so that model k takes the steps that training it alone would take; only the order of sums in a product differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from auditkit.bank.progress import Told, untold
from auditkit.pieces import Keep, Nothing
from auditkit.policy.schema import Training
from auditkit.subject.fitting import MOMENTUM, Batch
from auditkit.subject.model import initialise, loss

Stack = Mapping[str, Tensor]
"""Parameter name -> the K models' values [K, ...]."""

_NOWHERE = Nothing()
_WORTH_KEEPING = 2e10
"""Operations (some seconds) after which the models are kept as they stand; what is kept changes no result."""


def descend_all(
    module: nn.Module,
    batch: Batch,
    masks: Tensor,
    training: Training,
    seeds: list[int],
    *,
    keep: Keep = _NOWHERE,
    told: Told = untold,
) -> tuple[Stack, Tensor]:
    """Train the K networks; those of `fit(module, batch.take(rows of k), training, generator k)`.

    Args:
        module: the architecture; its parameters are overwritten. batch: encoded pool rows [P].
        masks: [K, P] bool. training: the recipe, without early stopping. seeds: [K] of the generators.
        keep: where the models are left as they stand after an epoch, and taken up by a run that goes on.
        told: hears after every epoch what share of them is done.

    Returns:
        The parameters, and which models [K] diverged: ended above where they began, or nowhere finite, the test that
        `fit` puts to a single model. No model's numbers reach another's.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    stack = _started(module, generators)
    with torch.no_grad():
        start = objectives(module, stack, batch, masks, training.l2)
    # The first draw of `fitting` separates a held-out part, which is empty here.
    rows = [mask.nonzero().squeeze(1) for mask in masks]
    rows = [own[torch.randperm(len(own), generator=g)] for own, g in zip(rows, generators, strict=True)]
    still = {name: torch.zeros_like(value) for name, value in stack.items()}
    walk = _Walk(module, stack, still, generators, batch, training)
    work, since = 6 * sum(value.numel() for value in stack.values()) * batch.weights.shape[0] / 2, 0.0
    for epoch in range(walk.took_up(keep), training.epochs):
        orders = [own[torch.randperm(len(own), generator=g)] for own, g in zip(rows, generators, strict=True)]
        walk.epoch(orders, epoch)
        since += work
        if since >= _WORTH_KEEPING or epoch == training.epochs - 1:
            walk.leave(keep, epoch + 1)
            since = 0.0
        told((epoch + 1) / training.epochs)
    with torch.no_grad():
        end = objectives(module, stack, batch, masks, training.l2)
    # A comparison with what is not finite is false, so such a model counts as diverged.
    return {name: value.detach() for name, value in stack.items()}, ~(end <= start)


def objectives(module: nn.Module, stack: Stack, batch: Batch, masks: Tensor, l2: float) -> Tensor:
    """F_k [K] of each model on its own rows."""
    shares = masks * batch.weights / masks.sum(1, keepdim=True)
    penalty = sum(value.flatten(1).square().sum(1) for value in stack.values())
    losses = loss(outputs_of(module, stack, batch.inputs), batch.targets.expand(len(masks), -1))
    total: Tensor = (shares * losses).sum(1) + 0.5 * l2 * penalty
    return total


def outputs_of(module: nn.Module, stack: Stack, inputs: tuple[Tensor, ...], *, each: bool = False) -> Tensor:
    """Outputs [K, B] of K models on the same rows [B, ...], or with `each` on rows of their own [K, B, ...]."""

    def one(parameters: Stack, given: tuple[Tensor, ...]) -> Tensor:
        found: Tensor = functional_call(module, dict(parameters), given)
        return found

    found: Tensor = vmap(one, in_dims=(0, 0 if each else None))(stack, inputs)
    return found


def _started(module: nn.Module, generators: list[torch.Generator]) -> Stack:
    names = [name for name, _ in module.named_parameters()]
    drawn: dict[str, list[Tensor]] = {name: [] for name in names}
    for generator in generators:
        initialise(module, generator)
        for name, parameter in module.named_parameters():
            drawn[name].append(parameter.detach().clone())
    return {name: torch.stack(values).requires_grad_() for name, values in drawn.items()}


@dataclass(frozen=True)
class _Walk:
    """Stacked parameters, velocities and generators on their way down."""

    module: nn.Module
    stack: Stack
    velocity: Stack
    generators: list[torch.Generator]
    batch: Batch
    training: Training

    def leave(self, keep: Keep, epochs: int) -> None:
        """Keep the models as they stand after so many epochs."""
        state = {f"stack.{name}": value.detach().numpy() for name, value in self.stack.items()}
        state |= {f"velocity.{name}": value.numpy() for name, value in self.velocity.items()}
        chance = torch.stack([generator.get_state() for generator in self.generators]).numpy()
        keep.put("epoch", {**state, "generators": chance, "epochs": np.array(epochs)})

    def took_up(self, keep: Keep) -> int:
        """Take up the models as they were left; the epochs done, 0 where nothing was."""
        state = keep.get("epoch")
        if state is None:
            return 0
        with torch.no_grad():
            for name, value in self.stack.items():
                value.copy_(torch.from_numpy(state[f"stack.{name}"]))
                self.velocity[name].copy_(torch.from_numpy(state[f"velocity.{name}"]))
        for generator, chance in zip(self.generators, state["generators"], strict=True):
            generator.set_state(torch.from_numpy(chance))
        return int(state["epochs"])

    def epoch(self, orders: list[Tensor], epoch: int) -> None:
        """One pass of every model over its own shuffled rows; one with a step less rests in the last."""
        size = self.training.batch
        counts = torch.tensor([len(order) for order in orders])
        padded = nn.utils.rnn.pad_sequence(orders, batch_first=True, padding_value=0)
        steps = (counts + size - 1) // size
        for step in range(int(steps.max())):
            places = torch.arange(step * size, min((step + 1) * size, padded.shape[1]))
            present = places < counts.unsqueeze(1)
            done = (epoch * steps + step).double() / (steps * self.training.epochs)
            rate = 0.5 * self.training.learning_rate * (1 + torch.cos(math.pi * done))
            self._step(padded[:, places], present, rate)

    def _step(self, rows: Tensor, present: Tensor, rate: Tensor) -> None:
        """One Nesterov step of every model that has rows in it; `rows` and `present` [K, B], `rate` [K]."""
        count = present.sum(1, keepdim=True)
        shares = present * self.batch.weights[rows] / count.clamp(min=1)
        flat = rows.reshape(-1)
        inputs = tuple(part.index_select(0, flat).view(*rows.shape, *part.shape[1:]) for part in self.batch.inputs)
        losses = loss(outputs_of(self.module, self.stack, inputs, each=True), self.batch.targets[rows])
        gradients = torch.autograd.grad((shares * losses).sum(), list(self.stack.values()))
        moving = (count.squeeze(1) > 0).double()
        with torch.no_grad():
            for (name, parameter), gradient in zip(self.stack.items(), gradients, strict=True):
                ones = (-1, *[1] * (parameter.ndim - 1))
                velocity, moves = self.velocity[name], moving.view(ones)
                whole = gradient.add(parameter, alpha=self.training.l2)
                velocity.mul_(1 - (1 - MOMENTUM) * moves).add_(whole * moves)
                parameter.sub_((moves * rate.view(ones)) * whole.add_(velocity, alpha=MOMENTUM))
