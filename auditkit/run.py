"""The shell: the only room where disk, clock, environment and randomness enter.

load -> preflight -> stamp -> run_audit -> render -> evidence. Each door below is one verb of the command line.

A run that is stopped at any moment leaves its finished pieces in `ledger.unfinished`; started again it reads them, and
ends in the same bytes. What a run writes appears whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from auditkit import __version__
from auditkit.errors import Complaint, DataError, IntegrityError, PolicyError
from auditkit.ledger.disk import require_writable, write, writing
from auditkit.ledger.evidence import describe_arrays, write_run
from auditkit.ledger.past import look_back
from auditkit.ledger.provenance import environment, run_id
from auditkit.ledger.unfinished import at_work, key_of
from auditkit.pipeline import STAGES as AUDIT_STAGES
from auditkit.pipeline import Audit, run_audit
from auditkit.pipeline import assist as run_share
from auditkit.preflight import Prepared, prepare, prepare_data
from auditkit.processes import ALONE, Processes
from auditkit.release.door import seal
from auditkit.report.renderers import RENDERERS, rendered
from auditkit.result import AuditResult, Stamp, parse

STAGES: Final = ("load", *AUDIT_STAGES, "render", "evidence")
KEY: Final = "AUDITKIT_KEY"  # of an engagement: by it persons of two releases are compared
PAGE: Final = RENDERERS["html"].render
Progress = Callable[[str], None]
"""Called with the name of each of STAGES as it begins."""


def _silent(name: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Run:
    """A finished run: the result and where its files lie."""

    result: AuditResult
    folder: Path
    files: tuple[Path, ...]


def run(
    policy: Path,
    *,
    out: Path,
    as_of: date | None = None,
    progress: Progress = _silent,
    resumed: Progress = _silent,
    worked: Callable[[float, float], None] = lambda done, total: None,
    processes: Processes = ALONE,
) -> Run:
    """Audit under one policy file and write the run's folder `out/<policy>/<run-id>/`.

    Args:
        policy: the policy file. out: folder of all runs. as_of: the audit's date; None is SOURCE_DATE_EPOCH or today.
        worked: told how many operations of how many the stage `bank` has done.
        progress: see `Progress`. resumed: told what is read from an earlier run that was stopped, by heading.
        processes: this is the first of them; in the others `assist` is called.

    Raises:
        AuditError: from any room, and where `out` cannot be written to; nothing is written then.
    """
    progress("load")
    prepared, stamp = _begin(policy, as_of, processes)
    place = out / policy.stem
    require_writable(place)
    past = look_back(place, stamp, prepared.policy, prepared.table, outside=os.environ.get(KEY))
    with at_work(place, key_of(stamp, processes=processes.size), told=resumed) as work:
        processes.meet()
        audit = run_audit(
            prepared, stamp=stamp, generator=np.random.default_rng(stamp.seed), progress=progress, keep=work.keep,
            processes=processes, shard=lambda scores: work.put_shard(scores, processes.rank, processes.size),
            beside=past.beside, worked=worked,
        )  # fmt: skip
        result = _with_artifacts(audit).result
        progress("render")
        public = render(result, formats=prepared.policy.report.formats)
        progress("evidence")
        seal(prepared.policy, prepared.table, public, result, arrays=audit.arrays, tables=audit.tables, again=PAGE)
        folder = place / stamp.run_id
        with writing(folder):
            files = work.shards(processes.size) if result.influence.status != "not-applicable" else ()
            files = (*files, *past.put(work.folder, audit.guarded.published))
            write_run(
                folder, public=public, arrays=audit.arrays, tables=audit.tables, files=files, scratch=work.folder,
                expires=past.expires,
            )  # fmt: skip
            past.enter(result, held=audit.guarded.names)
    return Run(result, folder, tuple(folder / "public" / name for name in public))


def assist(policy: Path, *, out: Path, as_of: date | None = None, processes: Processes) -> None:
    """What the other processes do of `run`: their share of the training records, and one score shard each.

    Raises:
        AuditError, Stopped: here, or because another process stopped.
    """
    prepared, stamp = _begin(policy, as_of, processes)
    place = out / policy.stem
    with at_work(place, key_of(stamp, processes=processes.size), told=_silent, first=False) as work:
        processes.meet()
        run_share(
            prepared, processes=processes,
            shard=lambda scores: work.put_shard(scores, processes.rank, processes.size),
        )  # fmt: skip


def _begin(policy: Path, as_of: date | None, processes: Processes) -> tuple[Prepared, Stamp]:
    """What was prepared, and the stamp of the first process, which the inputs of every other must bear out.

    Raises:
        IntegrityError: this process reads other files than the first.
    """
    prepared = prepare(policy)
    own = make_stamp(prepared, as_of=as_of or today(), command=f"auditkit run {policy.name}")
    stamp = processes.same(own)
    other = [name for name, digest in own.digests.items() if stamp.digests.get(name) != digest]
    if other:
        hint = "give every machine the same files"
        message = f"process {processes.rank} reads another {', '.join(other)} than the first process"
        raise IntegrityError(Complaint(message, str(policy), hint))
    return prepared, stamp


def audit_prepared(
    prepared: Prepared, *, as_of: date | None, command: str, progress: Progress = _silent
) -> Audit:
    """Stamp the run, audit, and reference the evidence; nothing is written."""
    stamp = make_stamp(prepared, as_of=as_of or today(), command=command)
    generator = np.random.default_rng(prepared.policy.seed)
    return _with_artifacts(run_audit(prepared, stamp=stamp, generator=generator, progress=progress))


def _with_artifacts(audit: Audit) -> Audit:
    artifacts = describe_arrays(audit.arrays, shapes=audit.guarded.splits_told)
    return replace(audit, result=audit.result.model_copy(update={"artifacts": artifacts}))


def render(result: AuditResult, *, formats: tuple[str, ...]) -> dict[str, bytes]:
    """Render a result: file name -> bytes, in the order asked for.

    Raises:
        PolicyError: there is no such format.
    """
    unknown = [name for name in formats if name not in RENDERERS]
    if unknown:
        raise PolicyError(f"no such report format: {', '.join(unknown)}; there are {', '.join(RENDERERS)}")
    return {RENDERERS[name].file: content for name, content in rendered(result, formats).items()}


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
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write(out / name, content)
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
    with writing(folder):
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
        with writing(out):
            write(out, text.encode())
    return text


def make_stamp(prepared: Prepared, *, as_of: date, command: str) -> Stamp:
    """Digests, versions, seed and date of one run."""
    digests = prepared.digests
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
