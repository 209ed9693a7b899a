"""What a store rests on, each part as a digest or as text, so that a mismatch can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from auditkit.influence.problem import Loss

MODEL = ("model parameters", "architecture")
"""Parts that must agree when a finished store is asked; to go on building it, all must."""


def store_key(module: nn.Module, loss: Loss, settings: Mapping[str, object]) -> dict[str, str]:
    """Part -> digest of everything but the training records, which each shard carries itself."""
    return {
        **model_key(module),
        "loss": _digest(_described(loss)),
        "settings": _digest(json.dumps(settings, sort_keys=True)),
        "code": _code_digest(),
    }


def model_key(module: nn.Module) -> dict[str, str]:
    """Digests of the module's parameters and buffers, bit by bit, and of its architecture as text."""
    trained = [f"{name} {tuple(p.shape)} {p.requires_grad}" for name, p in module.named_parameters()]
    return {
        "model parameters": tensors_digest(module.state_dict()),
        "architecture": _digest("\n".join([type(module).__qualname__, repr(module), *trained])),
    }


def whole_key(parts: Mapping[str, str]) -> str:
    """One digest of all parts."""
    return _digest(json.dumps(dict(parts), sort_keys=True))


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def differing(mine: Mapping[str, str], theirs: Mapping[str, str], parts: tuple[str, ...] | None = None) -> list[str]:
    """The parts that differ, of those named."""
    return [part for part in (parts or tuple(mine)) if mine.get(part) != theirs.get(part)]


def _described(loss: Loss) -> str:
    """Name and, where it is a Python function, instructions; a module or a record of settings says what it is."""
    given: object = loss
    if isinstance(given, nn.Module) or is_dataclass(given):
        return repr(given)
    name = f"{getattr(loss, '__module__', '')}.{getattr(loss, '__qualname__', type(loss).__qualname__)}"
    code = getattr(loss, "__code__", None)
    if code is None:
        return name
    constants = [repr(c) for c in code.co_consts if isinstance(c, (str, int, float, type(None)))]
    return "\n".join([name, code.co_code.hex(), *code.co_names, *constants])


@cache
def _code_digest() -> str:
    """Of this room's source: another version may compute other bytes."""
    room = Path(__file__).parent.parent
    found = hashlib.sha256()
    for path in sorted(room.rglob("*.py")):
        found.update(path.relative_to(room).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
