"""The shell: the only room where disk, clock, environment and randomness enter.

load -> preflight -> stamp -> run_audit -> render -> evidence. Each door below is one verb of the command line.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from auditkit import __version__
from auditkit.errors import Complaint, DataError, IntegrityError, PolicyError
from auditkit.ledger.evidence import describe_arrays, write_run
from auditkit.ledger.provenance import environment, run_id
from auditkit.pipeline import STAGES as AUDIT_STAGES
from auditkit.pipeline import Audit, run_audit
from auditkit.preflight import Prepared, prepare, prepare_data
from auditkit.report.renderers import RENDERERS
from auditkit.result import AuditResult, Stamp, parse

STAGES: Final = ("load", *AUDIT_STAGES, "render", "evidence")
Progress = Callable[[str], None]
"""Called with the name of each of STAGES as it begins."""


@dataclass(frozen=True)
class Run:
    """A finished run: the result and where its files lie."""

    result: AuditResult
    folder: Path
    files: tuple[Path, ...]


def run(policy: Path, *, out: Path, as_of: date | None = None, progress: Progress = lambda stage: None) -> Run:
    """Audit under one policy file and write the run's folder `out/<policy>/<run-id>/`.

    Raises:
        AuditError: from any room, and where `out` cannot be written to; nothing is written then.
    """
    progress("load")
    prepared = prepare(policy)
    _require_writable(out / policy.stem)
    audit = audit_prepared(prepared, as_of=as_of, command=f"auditkit run {policy.name}", progress=progress)
    progress("render")
    public = render(audit.result, formats=prepared.policy.report.formats)
    progress("evidence")
    folder = out / policy.stem / audit.result.stamp.run_id
    with _writing(folder):
        write_run(folder, public=public, arrays=audit.arrays, tables=audit.tables)
    return Run(audit.result, folder, tuple(folder / "public" / name for name in public))


def audit_prepared(
    prepared: Prepared, *, as_of: date | None, command: str, progress: Progress = lambda stage: None
) -> Audit:
    """Stamp the run, audit, and reference the evidence; nothing is written."""
    stamp = make_stamp(prepared, as_of=as_of or today(), command=command)
    generator = np.random.default_rng(prepared.policy.seed)
    audit = run_audit(prepared, stamp=stamp, generator=generator, progress=progress)
    artifacts = describe_arrays(audit.arrays)
    return Audit(audit.result.model_copy(update={"artifacts": artifacts}), audit.arrays, audit.tables)


def render(result: AuditResult, *, formats: tuple[str, ...]) -> dict[str, bytes]:
    """Render a result: file name -> bytes, in the order asked for.

    Raises:
        PolicyError: there is no such format.
    """
    unknown = [name for name in formats if name not in RENDERERS]
    if unknown:
        raise PolicyError(f"no such report format: {', '.join(unknown)}; there are {', '.join(RENDERERS)}")
    return {RENDERERS[name].file: RENDERERS[name].render(result) for name in formats}


def render_file(source: Path, *, out: Path, formats: tuple[str, ...]) -> tuple[Path, ...]:
    """Render an `audit.json` again and return the files written.

    Raises:
        DataError: the file cannot be read. IntegrityError: it is not a result of a version that this auditkit reads.
    """
    try:
        document = json.loads(source.read_text("utf-8"))
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(Complaint(f"the file {reason}", str(source), "name an audit.json")) from error
    except ValueError as error:
        raise IntegrityError(Complaint("the file is not JSON", str(source), "name an audit.json")) from error
    files = render(parse(document), formats=formats)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write(out / name, content)
    return tuple(out / name for name in files)


def train(policy: Path, *, replace: bool = False) -> tuple[Path, tuple[tuple[str, str], ...]]:
    """Train and store the tabular model that a policy describes; its folder and the facts of its recipe.

    Raises:
        PolicyError: another adapter, no `model.path`, or a model is there and `replace` is not set.
        DataError, ModelError, NumericsError: from reading and training; nothing is written then.
    """
    import torch

    from auditkit.subject.training import save, train_subject

    loaded, table = prepare_data(policy)
    folder = loaded.policy.model.path
    if folder is None:
        where = loaded.locate("model")
        raise PolicyError(Complaint("model.path is not stated", where, "state the folder to write the model to"))
    if (folder / "model.json").exists() and not replace:
        hint = "pass --replace to train it again"
        raise PolicyError(Complaint("there is a model already", str(folder), hint))
    generator = torch.Generator().manual_seed(loaded.policy.seed)
    subject = train_subject(loaded.policy, table, generator)
    with _writing(folder):
        save(subject, folder)
    return folder, subject.recipe


def write_starter(data: Path, out: Path | None) -> str:
    """The text of a starter policy for a data file, written to `out` where one is named and does not exist yet.

    Raises:
        PolicyError: `out` exists. DataError: the data file cannot be read.
    """
    from auditkit.policy.starter import starter

    if out is not None and out.exists():
        raise PolicyError(Complaint("the file exists already", str(out), "name another, or remove it"))
    text = starter(data, policy_path=out)
    if out is not None:
        with _writing(out):
            _write(out, text.encode())
    return text


def make_stamp(prepared: Prepared, *, as_of: date, command: str) -> Stamp:
    """Digests, versions, seed and date of one run."""
    digests = {"policy": prepared.digest, **prepared.table.digests, "model": prepared.subject.digest}
    seed = prepared.policy.seed
    identifier = run_id(as_of.isoformat(), digests, seed=seed, version=__version__)
    return Stamp(
        auditkit=__version__, as_of=as_of.isoformat(), seed=seed, run_id=identifier, command=command,
        digests=digests, environment=environment(),
    )  # fmt: skip


def today() -> date:
    """The date of the audit: SOURCE_DATE_EPOCH (UTC) where it is set, otherwise today (UTC)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now(UTC).date()
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        message = f"SOURCE_DATE_EPOCH is {epoch!r}; set it to whole seconds since 1970, or unset it"
        raise PolicyError(message) from error


def _require_writable(folder: Path) -> None:
    """Complain before the work if the nearest folder that exists cannot take files."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    with _writing(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """What the system refuses while files are written, as a complaint about the place the user named."""
    try:
        yield
    except OSError as error:
        message = f"nothing can be written there ({error.strerror or error})"
        raise PolicyError(Complaint(message, str(place), "name another place")) from error


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all: into a file beside it, then into place."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as scratch:
        scratch.write(content)
    partial = Path(scratch.name)
    partial.chmod(0o644)
    partial.replace(path)
