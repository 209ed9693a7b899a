"""A tabular model on disk: `model.safetensors` (parameters) beside `model.json` (everything else); never a pickle.

`model.json` states the sha256 of the parameters file and of its own other content, so that a changed, swapped or half
written file is noticed. These digests guard against accidents and careless edits; against a forger who rewrites both
files only the audit's own stamp, which records the model's digest, helps.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from auditkit.errors import Complaint, IntegrityError, ModelError
from auditkit.policy.schema import Training
from auditkit.subject.encode import Encoding
from auditkit.subject.fitted import Fitted, Recipe
from auditkit.subject.fitting import Fit
from auditkit.subject.model import build

SCHEMA_VERSION = 1
PARAMETERS, DESCRIPTION = "model.safetensors", "model.json"
SEAL = "description_sha256"


def save(fitted: Fitted, folder: Path) -> tuple[Path, Path]:
    """Write both files, each atomically, the description last; equal models give equal bytes.

    Raises:
        ModelError: the folder cannot be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in fitted.module.state_dict().items()}
    parameters = safetensors.torch.save(state)
    description = _describe(fitted, sha256(parameters).hexdigest())
    description[SEAL] = _seal(description)
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / PARAMETERS, parameters)
        _replace(folder / DESCRIPTION, text.encode())
    except OSError as error:
        raise ModelError(Complaint(f"cannot write the model ({error.strerror})", str(folder))) from error
    return folder / PARAMETERS, folder / DESCRIPTION


def load(folder: Path) -> tuple[Fitted, str]:
    """Read a model back and give its digest (over both files' content).

    Raises:
        ModelError: there is no model, its schema version is unknown, or a file is not what its format demands.
        IntegrityError: a file is not the one that the description was written for.
    """
    parameters, text = _read(folder / PARAMETERS), _read(folder / DESCRIPTION)
    where = f"{folder.name}/{DESCRIPTION}"
    try:
        description = json.loads(text)
    except ValueError as error:
        raise ModelError(Complaint("is not JSON", where)) from error
    version = description.get("schema_version") if isinstance(description, dict) else None
    if version != SCHEMA_VERSION:
        hint = "train the model again with this auditkit"
        message = f"schema_version is {version!r}, this auditkit reads {SCHEMA_VERSION}"
        raise ModelError(Complaint(message, where, hint))
    hint = "restore both files of the model, or train it again"
    if description.get(SEAL) != _seal(description):
        raise IntegrityError(Complaint("the description was changed after it was written", where, hint))
    if description.get("parameters_sha256") != sha256(parameters).hexdigest():
        message = f"is not the file that {DESCRIPTION} was written for"
        raise IntegrityError(Complaint(message, f"{folder.name}/{PARAMETERS}", hint))
    try:
        return _rebuild(description, parameters), str(description[SEAL])
    except (KeyError, TypeError, ValidationError, SafetensorError, RuntimeError) as error:
        raise ModelError(Complaint(f"does not describe a model ({type(error).__name__})", where)) from error


def _describe(fitted: Fitted, parameters: str) -> dict[str, Any]:
    """The content of `model.json`, without its seal."""
    recipe = fitted.recipe
    return {
        "schema_version": SCHEMA_VERSION,
        "training": recipe.training.model_dump(mode="json"),
        "features": {"numeric": list(recipe.numeric), "categorical": list(recipe.categorical)},
        "label": {"column": recipe.label, "favourable": recipe.favourable},
        "weight": recipe.weight,
        "seed": fitted.seed,
        "training_data": {"sha256": fitted.training_data, "rows": fitted.rows},
        "fit": asdict(fitted.fit),
        "encoding": fitted.encoding.to_json(),
        "parameters_sha256": parameters,
    }


def _rebuild(description: dict[str, Any], parameters: bytes) -> Fitted:
    """The fitted model that a sealed description and its parameters stand for."""
    features, label, data = description["features"], description["label"], description["training_data"]
    training = Training.model_validate(description["training"])
    recipe = Recipe(
        training=training, numeric=tuple(features["numeric"]), categorical=tuple(features["categorical"]),
        weight=description["weight"], label=label["column"], favourable=label["favourable"],
    )  # fmt: skip
    encoding = Encoding.from_json(description["encoding"])
    module = build(encoding, training)
    module.load_state_dict(safetensors.torch.load(parameters), strict=True)
    module.eval()
    ended = Fit(**description["fit"])
    return Fitted(recipe, encoding, module, ended, description["seed"], data["rows"], data["sha256"])


def _seal(description: dict[str, Any]) -> str:
    """sha256 of the description without the seal itself, in one canonical spelling."""
    rest = {key: value for key, value in description.items() if key != SEAL}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        hint = "train it with `auditkit train POLICY`" if isinstance(error, FileNotFoundError) else ""
        raise ModelError(Complaint(f"the file {reason}", f"{path.parent.name}/{path.name}", hint)) from error


def _replace(path: Path, content: bytes) -> None:
    """Write beside the target, flush to disk, then rename over it: readers see the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
