from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["table", "types", "slices", "predict", "open", "adapters.predictions", "encode"],
)
def test_reading_data_and_recorded_decisions_loads_no_torch(module: str) -> None:
    code = f"import sys, auditkit.subject.{module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
