"""report.pdf: PDF/A-3a and PDF/UA-1 in one file, audit.json attached, made in a process of its own.

The child sees no system font: its font configuration lists the bundled faces only, so that the same result gives the
same bytes on any machine with the same packages, and a machine without fonts does not crash.
"""

from __future__ import annotations

import base64
import hashlib
import json as plain_json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from auditkit.errors import AuditError, Complaint
from auditkit.report import json
from auditkit.report.document import compose
from auditkit.resources import font_faces
from auditkit.result import AuditResult

TIMEOUT = 300.0
"""Seconds; twenty pages take about ten."""
MEMORY = 4 * 2**30
"""Bytes of address space of the child."""


def render(result: AuditResult, *, timeout: float = TIMEOUT, memory: int = MEMORY) -> bytes:
    """The result as one PDF file.

    Raises:
        AuditError: the child failed, crashed, or reached its limit of time or memory; the message says which.
    """
    return begin(result, timeout=timeout, memory=memory)()


def begin(result: AuditResult, *, timeout: float = TIMEOUT, memory: int = MEMORY) -> Callable[[], bytes]:
    """Begin to press the result; what is returned waits for the file and raises as `render`."""
    html = compose(result, medium="pdf")
    evidence = json.render(result)
    identifier = hashlib.sha256(html.encode("utf-8") + evidence).hexdigest()[:32]
    job = {
        "html": html,
        "as_of": result.stamp.as_of,
        "evidence": base64.b64encode(evidence).decode("ascii"),
        "evidence_name": "audit.json",
        "evidence_text": "Every number of this report, as canonical JSON",
        "identifier": identifier,
        "memory": memory,
    }
    hand = ThreadPoolExecutor(1)  # it only waits for the child
    pressed = hand.submit(press, job, timeout=timeout)
    hand.shutdown(wait=False)
    return pressed.result


def press(job: dict[str, object], *, timeout: float) -> bytes:
    """Run one job in the child process.

    Raises:
        AuditError: see `render`.
    """
    with tempfile.TemporaryDirectory(prefix="auditkit-") as folder:
        command = [sys.executable, "-m", "auditkit.report.press"]
        try:
            done = subprocess.run(  # noqa: S603 - fixed command, no shell
                command, input=plain_json.dumps(job).encode(), capture_output=True, timeout=timeout, check=False,
                env=_environment(Path(folder)), cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise _failure(f"it took more than {timeout:g} seconds") from error
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise _failure(_reason(done))
    return done.stdout


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    last = done.stderr.decode("utf-8", errors="replace").strip().splitlines()[-1:]
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    return last[0] if last else f"its process ended with status {done.returncode}"


def _failure(reason: str) -> AuditError:
    hint = "the other formats do not need it; see the installation notes for the native libraries of WeasyPrint"
    return AuditError(Complaint(f"report.pdf could not be made: {reason}", hint=hint))


def _environment(folder: Path) -> dict[str, str]:
    """The child's environment: our import path, our fonts and nothing that could change the bytes."""
    faces = folder / "fonts"
    faces.mkdir()
    for face in font_faces():
        (faces / face.path.name).symlink_to(face.path)
    config = folder / "fonts.conf"
    config.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{faces}</dir><cachedir>{folder / 'cache'}</cachedir></fontconfig>",
        encoding="utf-8",
    )
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {
        **os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "FONTCONFIG_FILE": str(config), "TZ": "UTC",
        "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore", "SOURCE_DATE_EPOCH": "0",
    }  # fmt: skip
