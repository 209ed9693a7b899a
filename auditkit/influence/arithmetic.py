"""Which products this machine does fast, and how a pass asks for them; nothing here changes what is computed.

torch multiplies float32 matrices on a CPU by MKL, whose kernels are half as fast as oneDNN's on processors of another
maker (measured: 104 against 208 GFLOP/s). torch reaches oneDNN's for float32 only through a setting that also permits
bfloat16; on a processor without bfloat16 tiles the products stay float32, which is *tried* here on numbers before the
setting is used, and never used where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

_FLOAT32 = 2e-6
"""Relative error of a product of 256 terms above which it was not done in float32."""


@contextmanager
def fast_float32(device: torch.device) -> Iterator[None]:
    """Float32 products on a CPU by the faster library within the block; the caller's setting comes back after it."""
    if device.type != "cpu" or not _onednn_keeps_float32():
        yield
        return
    with _onednn():
        yield


def bfloat16_pays(device: torch.device) -> bool:
    """Whether products in bfloat16 are at least twice as fast as in float32 by the device's own word."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told = torch.cpu.get_capabilities()
    return device.type == "cpu" and any(bool(told.get(name)) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def _onednn() -> Iterator[None]:
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@lru_cache(maxsize=1)
def _onednn_keeps_float32() -> bool:
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or torch.cpu.get_capabilities().get("amx_bf16", True):
        return False
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = left.to(torch.float64) @ right.to(torch.float64)
    with _onednn():
        found = left @ right
    return bool((found.to(torch.float64) - exact).norm() <= _FLOAT32 * exact.norm())
