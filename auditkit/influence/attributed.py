"""What `attribute` gives back: scores with their unit, and what follows from them without another pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.errors import PolicyError
from auditkit.influence.refusals import require_finite
from auditkit.result import Quality


@dataclass(frozen=True)
class Attribution:
    """What `attribute` returns; tensors are float64 on the CPU, rows in the order of the training records."""

    scores: Tensor
    """[N, S] predicted change of each slice's measure; positive: removing the record raises it."""
    self_influence: Tensor | None
    """[N] predicted change of the record's own loss, in the unit of the loss; None where it was not asked for."""
    slice_names: tuple[str, ...]
    """[S] in the order of the columns of `scores`."""
    unit: str
    """What one unit of `scores` is."""
    quality: tuple[Quality, ...]
    """What the run says of itself, figure by figure; those with `warns` deserve a look before the scores are used."""
    values: Tensor
    """[S] each slice's measure under the audited model."""

    def effect_on(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """[N] predicted change of a differentiable function of the slices' measures: a gap, a ratio, a spread.

            grad f(values)ᵀ scores[n]                                    (delta method; exact where f is linear)

        `lambda m: m[0] / m[1]` is the ratio of the first two slices' measures, `lambda m: m[0] - m[1]` their gap. In
        the unit of the function; positive: removing the record raises it.

        Args:
            function: measures [S], in the order of `slice_names` -> one number.

        Raises:
            PolicyError: the function does not give one number that depends on the measures.
            NumericsError: its gradient at the measures is not finite (a ratio whose denominator is 0).

        Wrong when: a removal changes a measure by much of its own size (a ratio with a denominator near 0), or f has a
        kink at the measures.
        """
        at = self.values.clone().requires_grad_()
        with torch.enable_grad():
            given: object = function(at)
        if not isinstance(given, Tensor) or given.numel() != 1 or not given.requires_grad:
            raise PolicyError("the function must give one number that depends on the slices' measures")
        (gradient,) = torch.autograd.grad(given.reshape(()), at)
        require_finite(gradient, "gradient of the function at the slices' measures")
        return self.scores @ gradient

    def combined(self, weights: Mapping[str, float]) -> Tensor:
        """[N] predicted change of a linear combination of the slices' measures: a gap, a mean of means.

            sum_s c_s scores[n, s]                           (exact: the change of a sum is the sum of changes)

        `{"women": 1, "men": -1}` is the gap between two slices' measures, women minus men; slices that are not named
        have weight 0. In the unit of the measures, which must be the same for it to mean anything; positive: removing
        the record raises the combination.

        Args:
            weights: c_s by slice name.

        Raises:
            PolicyError: a name that is no slice, a weight that is not finite, or no weight.
        """
        unknown = sorted(set(weights) - set(self.slice_names))
        if unknown or not weights or not all(math.isfinite(c) for c in weights.values()):
            raise PolicyError(
                f"a combination needs finite weights by slice; there are {', '.join(self.slice_names)}"
                + (f", and not {', '.join(unknown)}" if unknown else "")
            )
        column = [float(weights.get(name, 0.0)) for name in self.slice_names]
        return self.scores @ torch.tensor(column, dtype=self.scores.dtype, device=self.scores.device)
