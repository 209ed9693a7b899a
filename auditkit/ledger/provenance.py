"""Versions and digests: what a second run needs to be the same run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "duckdb", "fairlearn", "jinja2", "matplotlib", "numpy", "pandas", "pydantic",
    "scikit-learn", "scipy", "torch", "weasyprint",
)  # fmt: skip
CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def bytes_digest(content: bytes) -> str:
    """sha256 of bytes, as hex."""
    return hashlib.sha256(content).hexdigest()


@cache
def code_digest() -> str:
    """sha256 over auditkit's own source files, in which two checkouts of one version may differ; as first asked."""
    package = Path(__file__).parents[1]
    files = sorted(package.rglob("*.py"))
    told = [(str(file.relative_to(package)), file_digest(file)) for file in files]
    return bytes_digest(json.dumps(told).encode())


def environment() -> dict[str, str]:
    """Python, operating system family and the versions of the libraries that make numbers or pages."""
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "system": platform.system(), **versions}


def run_id(as_of: str, digests: Mapping[str, str], *, seed: int, version: str) -> str:
    """`2026-11-23-1f0c9a2b33`: the date and the first ten digits of the digest of all inputs.

    The same inputs, seed, date and version give the same id, so a repeated run replaces its own folder and no other.
    """
    inputs = json.dumps([as_of, dict(digests), seed, version], sort_keys=True).encode()
    return f"{as_of}-{bytes_digest(inputs)[:10]}"
