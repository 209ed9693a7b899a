"""constraints.txt pins what pyproject.toml asks for, and what those packages bring."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(Requirement(line).name): Requirement(line) for line in LINES if line[0] != "#"}
# What a CUDA build of torch brings, which it pins itself.
OF_CUDA = ("nvidia-", "cuda-", "triton")


def brought_by(requirement: Requirement) -> list[Requirement]:
    """What `requirement` needs on this machine, as its installed metadata say."""
    try:
        needs = [Requirement(text) for text in requires(requirement.name) or []]
    except PackageNotFoundError:
        return []
    worlds = [{"extra": extra} for extra in requirement.extras or {""}]
    return [need for need in needs if not need.marker or any(map(need.marker.evaluate, worlds))]


def test_every_package_that_is_asked_for_or_brought_along_has_one_exact_pin() -> None:
    todo, seen = list(ASKED), set[str]()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or name.startswith(OF_CUDA):
            continue
        seen.add(name)
        todo += brought_by(requirement)
    assert seen <= PINS.keys(), f"not pinned: {sorted(seen - PINS.keys())}"
    assert PINS.keys() <= seen, f"pinned, but nobody asks for it: {sorted(PINS.keys() - seen)}"


def test_the_pins_are_exact_and_allowed_by_the_lower_bounds() -> None:
    for name, pin in PINS.items():
        (clause,) = pin.specifier
        assert clause.operator == "==", f"{name} is not pinned exactly"
        assert "+" not in clause.version, f"{name} is pinned to one machine's build"
    for requirement in ASKED:
        (clause,) = PINS[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(clause.version, prereleases=True), requirement
