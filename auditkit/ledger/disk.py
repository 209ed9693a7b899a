"""Writing files for a user: what the system refuses becomes a complaint about the place that the user named."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditkit.errors import Complaint, PolicyError


def require_writable(folder: Path) -> None:
    """Complain before the work if the nearest folder that exists cannot take files."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    with writing(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """What the system refuses while files are written, as a complaint about the place the user named."""
    try:
        yield
    except OSError as error:
        message = f"nothing can be written there ({error.strerror or error})"
        raise PolicyError(Complaint(message, str(place), "name another place")) from error


def write(path: Path, content: bytes) -> None:
    """Write whole or not at all: into a file beside it, then into place."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as scratch:
        scratch.write(content)
    partial = Path(scratch.name)
    partial.chmod(0o644)
    partial.replace(path)
