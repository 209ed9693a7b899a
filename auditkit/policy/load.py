"""Reads a policy file, its parents and all that they state, and gives every complaint at once.

Parents (`extends`) are shallow: a top-level key of the child replaces the parent's. A complaint about a key is placed
in the file that states it, and a relative path is relative to that file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from auditkit.errors import Complaint, PolicyError
from auditkit.policy.checks import Draft, check
from auditkit.policy.document import Document, KeyPath, as_json, friendly, read_document
from auditkit.policy.explain import Locate, explain, shown
from auditkit.policy.schema import Policy, kebab

LONGEST_CHAIN: Final = 16
# Keys of the policy that hold the path of a file or folder.
PATHS: Final[tuple[tuple[str, str], ...]] = (
    ("data", "train"),
    ("data", "reserve"),
    ("data", "evaluation"),
    ("model", "path"),
)


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that was read and found in order, and where each of its keys stands."""

    policy: Policy
    """Paths are absolute."""
    path: Path
    """The file, as it was named."""
    base: Path
    """The file's folder, absolute."""
    digest: str
    """sha256 of `resolved` as canonical JSON (sorted keys, no spaces, UTF-8)."""
    resolved: Mapping[str, Any]
    """The policy as written, parents merged: kebab keys, relative paths, no defaults; infinite numbers as text."""
    files: tuple[Path, ...]
    """The file and its parents, nearest first, as they were named."""
    _origins: Mapping[str, Document] = field(repr=False, default_factory=dict)
    _own: Document | None = field(repr=False, default=None)

    def locate(self, *key_path: str | int) -> str:
        """`file:line:column` of a key or list entry, or of its nearest existing parent.

        Keys may be written as in YAML (`false-positive-rates`) or as in Python (`false_positive_rates`).
        """
        return _place(self._origins, self._own, key_path) if self._own else friendly(self.path)


def load(path: Path) -> LoadedPolicy:
    """Read, merge and check one policy.

    Raises:
        PolicyError: every complaint, each with file:line:column, the value met and what to do.
    """
    documents = _chain(path)
    own = documents[0]
    origins = {key: document for document in reversed(documents) for key in document.data}
    origins.pop("extends", None)
    data = {key: origin.data[key] for key, origin in origins.items()}
    locate = partial(_place, origins, own)
    complaints: list[Complaint] = []
    policy = _validate(data, locate, complaints)
    complaints += check(Draft.of(_lift(data)), locate)
    if complaints or policy is None:
        raise PolicyError(_sorted(list(dict.fromkeys(complaints)), documents))
    resolved = _plain(data)
    return LoadedPolicy(
        policy=_absolute(policy, origins),
        path=path,
        base=_folder(path),
        digest=digest_of(resolved),
        resolved=resolved,
        files=tuple(document.path for document in documents),
        _origins=origins,
        _own=own,
    )


def from_mapping(data: Mapping[str, Any]) -> Policy:
    """A policy that was stated in Python, in the form that YAML would have; complaints are placed by key.

    Raises:
        PolicyError: every complaint, each with its key, the value met and what to do.
    """

    def locate(key_path: KeyPath) -> str:
        return ".".join(str(key) for key in key_path)

    complaints: list[Complaint] = []
    policy = _validate(data, locate, complaints)
    complaints += check(Draft.of(_lift(data)), locate)
    if complaints or policy is None:
        raise PolicyError(list(dict.fromkeys(complaints)))
    return policy


def digest_of(resolved: Mapping[str, Any]) -> str:
    """sha256 (hex) over canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _chain(path: Path) -> list[Document]:
    """The document and its parents, nearest first."""
    documents: list[Document] = []
    seen: list[Path] = []
    where = ""
    while True:
        real = path.resolve()
        if real in seen or len(documents) == LONGEST_CHAIN:
            what = "in a circle" if real in seen else f"more than {LONGEST_CHAIN} files deep"
            hint = "remove one `extends`"
            raise PolicyError(Complaint(f"'extends' leads {what}, to {shown(str(path))}", where=where, hint=hint))
        seen.append(real)
        if documents and not path.is_file():
            message = f"'extends' names the file {shown(str(documents[-1].data['extends']))}, which does not exist"
            hint = "the path is relative to this file"
            raise PolicyError(Complaint(message, where=where, hint=hint))
        document = read_document(path)
        documents.append(document)
        if "extends" not in document.data:
            return documents
        parent, where = document.data["extends"], document.place(("extends",))
        if not isinstance(parent, str) or not parent:
            message = f"'extends' is {shown(parent)}, and has to be the path of one policy file"
            raise PolicyError(Complaint(message, where=where, hint="write extends: other.yaml"))
        path = Path(os.path.normpath(path.parent / parent))


def _validate(data: Mapping[str, Any], locate: Locate, complaints: list[Complaint]) -> Policy | None:
    """The policy, or its complaints added to the list."""
    if "intersections" in data:
        hint = "write it under 'protected'"
        complaints.append(Complaint("unknown key 'intersections'", where=locate(("intersections",)), hint=hint))
        data = {key: value for key, value in data.items() if key != "intersections"}
    lifted = _lift(data)
    try:
        return Policy.model_validate_json(as_json(lifted), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        complaints += explain(error, model=Policy, data=lifted, locate=locate)
        return None


def _lift(data: Mapping[str, Any]) -> dict[str, Any]:
    """`protected.intersections`, as YAML has it, becomes `intersections`, as Policy has it."""
    lifted = dict(data)
    protected = data.get("protected")
    if isinstance(protected, dict) and "intersections" in protected:
        lifted["protected"] = {key: value for key, value in protected.items() if key != "intersections"}
        lifted["intersections"] = protected["intersections"]
    return lifted


def _place(origins: Mapping[str, Document], own: Document, key_path: KeyPath) -> str:
    if key_path and key_path[0] == "intersections" and "intersections" not in origins:
        key_path = ("protected", *key_path)
    document = origins.get(kebab(str(key_path[0])), own) if key_path else own
    known: KeyPath = ()
    for key in key_path:
        spellings = (key, kebab(key)) if isinstance(key, str) else (key,)
        found = [(*known, spelling) for spelling in spellings if (*known, spelling) in document.marks]
        if not found:
            break
        known = found[0]
    return document.place(known)


def _sorted(complaints: list[Complaint], documents: list[Document]) -> list[Complaint]:
    """In the order of the files, and of the lines in each."""
    names = [friendly(document.path) for document in documents]

    def order(complaint: Complaint) -> tuple[int, int, int]:
        name, line, column = complaint.where.rsplit(":", maxsplit=2)
        return names.index(name) if name in names else len(names), int(line), int(column)

    return sorted(complaints, key=order)


def _absolute(policy: Policy, origins: Mapping[str, Document]) -> Policy:
    """The policy with its paths absolute, each from the folder of the file that states it."""
    changes: dict[str, Any] = {}
    for section, name in PATHS:
        part = changes.get(section, getattr(policy, section))
        stated = getattr(part, name)
        if stated is not None:
            absolute = Path(os.path.normpath(_folder(origins[section].path) / stated))
            changes[section] = part.model_copy(update={name: absolute})
    changes["compare"] = {
        name: rule if rule.path is None else rule.model_copy(
            update={"path": Path(os.path.normpath(_folder(origins["compare"].path) / rule.path))}
        )
        for name, rule in policy.compare.items()
    }  # fmt: skip
    return policy.model_copy(update=changes)


def _folder(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent  # noqa: PTH100 - Path.absolute keeps `..`, resolve() follows links


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return value
