"""What torch says when a module or a loss cannot be used, turned into one sentence with what to do.

Torch names the operation that failed; the reader needs to know whose it was, what it was given and how to mend it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, ModelError

UNUSABLE = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)
"""What code of the caller's raises when it is given what it was not written for; torch's own errors are among these."""

_LONGEST = 200


def first_line(reason: BaseException) -> str:
    """What an error says, in one line of bounded length, with its kind where the text alone would not tell."""
    text = str(reason).strip().split("\n")[0]
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return text if isinstance(reason, RuntimeError) else f"{type(reason).__name__}: {text}"


def loss_refusal(outputs: Tensor, targets: Tensor, reason: BaseException) -> ModelError:
    """For a loss that cannot be computed for outputs as the module gives them and targets of the same records."""
    message = f"the loss cannot be computed for outputs {_kind(outputs)} and targets {_kind(targets)}"
    hint = shape_hint(outputs, targets)
    if isinstance(reason, IndexError):
        hint = f"class numbers must lie between 0 and {outputs.shape[-1] - 1}"
    return ModelError(Complaint(f"{message}: {first_line(reason)}", hint=hint))


def shape_hint(outputs: Tensor, targets: Tensor) -> str:
    """What to change about outputs and targets that do not go together."""
    if outputs.numel() == targets.numel() and outputs.shape != targets.shape:
        return "give both the same shape: end the module in .squeeze(-1), or hand over targets.unsqueeze(1)"
    if outputs.ndim == targets.ndim and not targets.is_floating_point():
        return "hand the targets over in floating point, or use a loss of class numbers"
    if outputs.ndim == targets.ndim + 1 and targets.is_floating_point():
        return "hand the targets over as class numbers (torch.int64), or give the outputs the shape of the targets"
    return "tensors of the loss's own must follow the dtype of the outputs, and lie where they lie"


def module_refusal(
    module: nn.Module, inputs: Sequence[Tensor], dtype: torch.dtype, reason: BaseException
) -> ModelError:
    """For a module that cannot be run on its training records in the precision of the passes."""
    precision, given = str(dtype).removeprefix("torch."), ", ".join(_kind(t) for t in inputs)
    message = f"the module cannot be run in {precision} on the training records ({given}): {first_line(reason)}"
    return ModelError(Complaint(message, hint=_module_hint(module, inputs)))


def _module_hint(module: nn.Module, inputs: Sequence[Tensor]) -> str:
    if _runs(module, inputs):
        return "tensors of its own must be buffers of the module, or follow the dtype of the inputs"
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if not all(t.is_floating_point() for t in inputs) and _runs(module, [t.to(own) for t in inputs]):
        return "integers are handed over as codes; give numbers in floating point"
    return "it cannot be run on them in its own precision either; give the inputs that module(*inputs) takes"


def _runs(module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Whether the caller's own module runs on the first two records as they are."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(*(t[:2].clone() for t in inputs))
    except UNUSABLE:
        return False
    return True


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
