"""The shell: the only room where disk, clock, environment and randomness enter.

load -> preflight -> stamp -> run_audit -> render -> evidence. Each door below is one verb of the command line.

A run that is stopped at any moment leaves its finished pieces in `ledger.unfinished`; started again it reads them, and
ends in the same bytes. What a run writes appears whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from auditkit import __version__
from auditkit.errors import MISSING, AuditError, Complaint, DataError, IntegrityError, PolicyError, strongest
from auditkit.ledger.disk import require_writable, write, writing
from auditkit.ledger.evidence import add_file, describe_arrays, public_folder, write_run
from auditkit.ledger.manifest import check_folder, read_manifest
from auditkit.ledger.past import look_back
from auditkit.ledger.provenance import environment, run_id
from auditkit.ledger.unfinished import at_work, key_of
from auditkit.pipeline import STAGES as AUDIT_STAGES
from auditkit.pipeline import Audit, run_audit
from auditkit.pipeline import assist as run_share
from auditkit.preflight import Prepared, prepare, prepare_data
from auditkit.processes import ALONE, Processes
from auditkit.release.door import Seal, sealing
from auditkit.report.renderers import RENDERERS, Rendering, rendered, slow_renderings
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
    missing: Mapping[str, AuditError] = field(default_factory=dict)
    """Formats that the policy asks for and that could not be made, with the reason; `complete_run` tries again."""

    @property
    def exit_code(self) -> int:
        """The audit's answer, or MISSING where a format is missing and no rule is breached."""
        return strongest((self.result.conclusion.exit_code, *(MISSING for _ in self.missing)))


def run(
    policy: Path,
    *,
    out: Path,
    as_of: date | None = None,
    progress: Progress = _silent,
    resumed: Progress = _silent,
    worked: Callable[[float, float], None] = lambda done, total: None,
    processes: Processes = ALONE,
    published: Callable[[Path], None] = lambda folder: None,
) -> Run:
    """Audit under one policy file and write the run's folder `out/<policy>/<run-id>/`.

    The formats that are made quickly are published together; a PDF is added when it is whole, and its failure takes
    nothing back.

    Args:
        policy: the policy file. out: folder of all runs. as_of: the audit's date; None is SOURCE_DATE_EPOCH or today.
        worked: told how many operations of how many the stage `bank` has done.
        progress: see `Progress`. resumed: told what is read from an earlier run that was stopped, by heading.
        processes: this is the first of them; in the others `assist` is called.
        published: told the run's folder once it is there; formats that take long may follow.

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
        seal = sealing(
            prepared.policy, prepared.table, result, arrays=audit.arrays, tables=audit.tables, again=PAGE
        )
        progress("render")
        formats, folder = prepared.policy.report.formats, place / stamp.run_id
        with slow_renderings(result, formats, scratch=work.folder) as slow:
            public = {RENDERERS[name].file: RENDERERS[name].render(result) for name in formats if name not in slow}
            progress("evidence")
            seal(public)
            with writing(folder):
                files = work.shards(processes.size) if result.influence.status != "not-applicable" else ()
                files = (*files, *past.put(work.folder, audit.guarded.published))
                write_run(
                    folder, public=public, arrays=audit.arrays, tables=audit.tables, files=files, scratch=work.folder,
                    expires=past.expires, missing=[RENDERERS[name].file for name in slow],
                )  # fmt: skip
                past.enter(result, held=audit.guarded.names)
            published(folder)
            missing = _complete(folder / "public", slow, seal=seal, known=public)
    files = tuple(folder / "public" / RENDERERS[name].file for name in formats if name not in missing)
    return Run(result, folder, files, missing)


def _complete(
    public: Path, slow: Mapping[str, Rendering], *, seal: Seal, known: Mapping[str, bytes]
) -> dict[str, AuditError]:
    """Add what took longer to a published folder; formats that could not be made, and why. The others stand.

    Args:
        public: the folder.
        slow: what is being rendered, by format.
        seal: holds a file against what must not be in it.
        known: the files that are published, which a later one may attach.

    Raises:
        IntegrityError: a file holds what it must not; it is not added.
    """
    missing: dict[str, AuditError] = {}
    for name, rendering in slow.items():
        file = RENDERERS[name].file
        try:
            content = rendering.wait()
            seal({**known, file: content})
            with writing(public):
                add_file(public, file, content)
        except IntegrityError:
            raise
        except AuditError as error:
            missing[name] = error
    return missing


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
    files = render(_read_result(source), formats=formats)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write(out / name, content)
    return tuple(out / name for name in files)


def complete_run(folder: Path) -> tuple[Path, ...]:
    """Make the formats that a published run still lacks, from its own `audit.json`; the files added.

    Args:
        folder: of the run, or its `public/`.

    Raises:
        IntegrityError: what is published is not as its manifest says. AuditError: a format cannot be made.
    """
    public = public_folder(folder)
    _, complaints = check_folder(public)
    if complaints:
        raise IntegrityError(complaints)
    lacking = {name: row.file for name, row in RENDERERS.items() if row.file in read_manifest(public).missing}
    if lacking and not (public / RENDERERS["json"].file).is_file():
        hint = "run the audit again, with json among report.formats"
        raise DataError(Complaint("there is no audit.json from which a format could be made", str(public), hint))
    for name, file in lacking.items():
        content = render(_read_result(public / RENDERERS["json"].file), formats=(name,))[file]
        with writing(public):
            add_file(public, file, content)
    return tuple(public / file for file in lacking.values())


def _read_result(source: Path) -> AuditResult:
    """The result in an `audit.json`.

    Raises:
        DataError: the file cannot be read. IntegrityError: it is not a result of a version that this auditkit reads.
    """
    try:
        document = json.loads(source.read_text("utf-8"))
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(Complaint(f"the file {reason}", str(source), "name an audit.json")) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(Complaint("the file is not JSON", str(source), "name an audit.json")) from error
    return parse(document)


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
