"""Light doors stay light: what reads a policy, judges, renders or keeps the ledger must not load torch.

import-linter does not see what a parent package's `__init__` imports; a fresh interpreter does.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = (
    "auditkit",
    "auditkit.errors",
    "auditkit.findings",
    "auditkit.ledger",
    "auditkit.policy",
    "auditkit.report",
    "auditkit.resources",
    "auditkit.result",
    "auditkit.stats",
)
IMPORT_ALL = """
import importlib, pkgutil, sys
door = importlib.import_module({module!r})
inside = getattr(door, "__path__", []) if {deep} else []
for found in pkgutil.walk_packages(inside, {module!r} + "."):
    importlib.import_module(found.name)
print([name for name in {heavy!r} if name in sys.modules])
"""


def heavy_modules_after_import(module: str, *, deep: bool, heavy: tuple[str, ...]) -> str:
    """Which of `heavy` a fresh interpreter holds after importing `module` (deep: and all inside it)."""
    code = IMPORT_ALL.format(module=module, deep=deep, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_door_loads_no_torch(module: str) -> None:
    deep = module != "auditkit"
    assert heavy_modules_after_import(module, deep=deep, heavy=("torch",)) == "[]"


def test_the_package_itself_loads_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "scipy", "sklearn", "fairlearn", "matplotlib", "weasyprint", "duckdb")
    assert heavy_modules_after_import("auditkit", deep=False, heavy=heavy) == "[]"


def test_the_check_sees_a_loaded_library() -> None:
    assert heavy_modules_after_import("json", deep=True, heavy=("json", "torch")) == "['json']"
