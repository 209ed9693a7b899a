"""report.pdf: PDF/A-3a and PDF/UA-1 in one file, audit.json attached, made in a process of its own.

The child sees no system font: its font configuration lists the bundled faces only, so that the same result gives the
same bytes on any machine with the same packages, and a machine without fonts does not crash.
"""

from __future__ import annotations

import base64
import hashlib
import json as plain_json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from auditkit.errors import AuditError, Complaint
from auditkit.report import json
from auditkit.report.document import compose
from auditkit.resources import font_faces
from auditkit.result import AuditResult

CPU_SECONDS: Final = 900
"""Processor time that the child may take; twenty pages take about ten seconds."""
MEMORY: Final = 4 * 2**30
"""Bytes of address space of the child."""


@dataclass(frozen=True)
class Limits:
    """What the child process may take."""

    cpu_seconds: int = CPU_SECONDS
    memory: int = MEMORY


class PdfRendering:
    """A PDF that is being made in a child process; its files lie in one scratch folder, which goes when it ends."""

    def __init__(self, job: Mapping[str, object], *, limits: Limits, scratch: Path | None) -> None:
        """Start the child with its job."""
        self._limits = limits
        self._folder = tempfile.TemporaryDirectory(prefix="auditkit-pdf-", dir=scratch)
        try:
            self._process = self._start({**job, **asdict(limits), "parent": os.getpid()})
        except BaseException:
            self._folder.cleanup()
            raise

    def _start(self, job: Mapping[str, object]) -> subprocess.Popen[bytes]:
        folder = Path(self._folder.name)
        # A session of its own, so that an interrupt of the terminal reaches the parent alone, which then ends it.
        job_file = folder / "job.json"
        job_file.write_text(plain_json.dumps(job), encoding="utf-8")
        with job_file.open("rb") as source, self._output.open("wb") as pdf, self._words.open("wb") as words:
            return subprocess.Popen(
                [sys.executable, "-m", "auditkit.report.press"], stdin=source, stdout=pdf, stderr=words,
                env=_environment(folder), cwd=folder, start_new_session=True,
            )  # fmt: skip

    @property
    def _output(self) -> Path:
        return Path(self._folder.name) / "report.pdf"

    @property
    def _words(self) -> Path:
        return Path(self._folder.name) / "errors.txt"

    def wait(self) -> bytes:
        """The bytes of the PDF.

        Raises:
            AuditError: the child failed, crashed, or reached its limit of processor time or memory.
        """
        try:
            code = self._process.wait()
            content = self._output.read_bytes()
            if code != 0 or not content.startswith(b"%PDF-"):
                raise _failure(self._reason(code))
            return content
        finally:
            self.stop()

    def stop(self) -> None:
        """End the child, if it still runs, and remove its files."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _reason(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"it took more than {self._limits.cpu_seconds:,} seconds of processor time"
        if code < 0:
            return f"its process was ended by signal {-code}"
        last = self._words.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"its process ended with status {code}"


DEFAULT_LIMITS: Final = Limits()


def render(result: AuditResult, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The result as one PDF file.

    Raises:
        AuditError: the child failed, crashed, or reached its limit of processor time or memory; the message says which.
    """
    return begin(result, limits=limits).wait()


def begin(result: AuditResult, *, limits: Limits = DEFAULT_LIMITS, scratch: Path | None = None) -> PdfRendering:
    """Begin to make the PDF of a result.

    Args:
        result: what is rendered.
        limits: of the child process.
        scratch: folder for the child's files; None is the system's.
    """
    html = compose(result, medium="pdf")
    evidence = json.render(result)
    job = {
        "html": html,
        "as_of": result.stamp.as_of,
        "evidence": base64.b64encode(evidence).decode("ascii"),
        "evidence_name": "audit.json",
        "evidence_text": "Every number of this report, as canonical JSON",
        "identifier": hashlib.sha256(html.encode("utf-8") + evidence).hexdigest()[:32],
    }
    return PdfRendering(job, limits=limits, scratch=scratch)


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
        "TMPDIR": str(folder),  # what a library leaves there when the child is killed goes with the folder
        "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore", "SOURCE_DATE_EPOCH": "0",
    }  # fmt: skip
