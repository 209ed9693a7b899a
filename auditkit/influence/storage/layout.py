"""What a store says of itself: one JSON file, and the pieces that hold the projection and the fitted curvature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, IntegrityError
from auditkit.influence.problem import Layout
from auditkit.influence.projected import Inverse
from auditkit.influence.projection import Projection, Runs, Sides
from auditkit.influence.sites.kinds import sites_of
from auditkit.influence.sites.site import Site
from auditkit.influence.storage.keys import whole_key
from auditkit.pieces import Pieces, write_whole

FORMAT: Final = 1
_FILE: Final = "store.json"


@dataclass(frozen=True)
class Description:
    """The contents of `store.json`."""

    key: Mapping[str, str]
    """Part -> digest, see `keys`."""
    settings: Mapping[str, Any]
    names: tuple[str, ...]
    """Trained parameters, and in `shapes` their shapes."""
    shapes: tuple[tuple[int, ...], ...]
    kinds: tuple[tuple[tuple[int, ...], bool], ...]
    """Of each input and of the targets: shape of one record, and whether it holds real numbers."""
    sites: tuple[str, ...]
    """Layers with two sides, in the order of their coordinates."""
    others: tuple[str, ...]
    """Layers of another kind."""
    runs: Mapping[str, tuple[str, ...]]
    """Groups of other parameters, behind them."""
    spans: Mapping[str, tuple[int, int]]
    """Block -> its positions among the coordinates."""
    shards: int = 0
    """Finished shards that `records` counts; 0: never finished."""
    records: int = 0
    damping: Mapping[str, float] | None = None
    quality: tuple[Mapping[str, Any], ...] = ()
    """What the build said of itself."""

    def pieces(self, folder: Path) -> Pieces:
        """The pieces of this store."""
        return Pieces(folder, whole_key(self.key))

    def layout(self) -> Layout:
        """Of the trained parameters."""
        return Layout(self.names, self.shapes)

    def coordinates(self) -> dict[str, slice]:
        """Block -> its positions among the coordinates."""
        return {name: slice(*ends) for name, ends in self.spans.items()}


def write_description(folder: Path, description: Description) -> None:
    """Replace `store.json` in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"format": FORMAT, **asdict(description)}
    write_whole(folder / _FILE, (json.dumps(said, indent=1, sort_keys=False) + "\n").encode())


def read_description(folder: Path) -> Description | None:
    """What lies in this folder; None where there is no store.

    Raises:
        IntegrityError: the file is not that of a store, or of another format.
    """
    path = folder / _FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        form = said.pop("format")
        found = Description(**said)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        raise IntegrityError(Complaint(f"not a gradient store: {reason}", str(path))) from reason
    if form != FORMAT:
        raise IntegrityError(Complaint(f"gradient store of format {form}; this version reads {FORMAT}", str(path)))
    return replace(
        found,
        names=tuple(found.names),
        shapes=tuple(tuple(shape) for shape in found.shapes),
        kinds=tuple((tuple(shape), bool(real)) for shape, real in found.kinds),
        sites=tuple(found.sites),
        others=tuple(found.others),
        runs={owner: tuple(names) for owner, names in found.runs.items()},
    )


def keep_projection(pieces: Pieces, projection: Projection) -> None:
    """Keep the projection's matrices."""
    arrays = {}
    for name, sides in projection.sides.items():
        arrays[f"left {name}"], arrays[f"right {name}"] = sides.left, sides.right
    for owner, run in projection.runs.items():
        arrays.update({f"run {k} {owner}": piece for k, piece in enumerate(run.pieces)})
    keep(pieces, "projection", arrays)


def kept_projection(pieces: Pieces, description: Description, module: nn.Module) -> Projection:
    """The projection, for the layers of this module.

    Raises:
        IntegrityError: it is absent or not what was written.
    """
    found = kept(pieces, "projection")
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    found = {name: value.to(device) for name, value in found.items()}
    known = {site.name: site for site in sites_of(module, description.names)}
    sites = tuple(site for name in description.sites if isinstance(site := known.get(name), Site))
    if len(sites) != len(description.sites):
        raise IntegrityError(Complaint("the module lacks layers that the store's projection names", str(pieces.folder)))
    others = tuple(known[name] for name in description.others if name in known)
    sides = {site.name: Sides(found[f"left {site.name}"], found[f"right {site.name}"]) for site in sites}
    runs = {}
    for owner, names in description.runs.items():
        count = sum(name.startswith("run ") and name.split(" ", 2)[2] == owner for name in found)
        runs[owner] = Runs(names, tuple(found[f"run {k} {owner}"] for k in range(count)))
    return Projection(description.layout(), sites, others, sides, runs)


def kept_inverse(pieces: Pieces, description: Description) -> Inverse:
    """H⁻¹ in projected coordinates.

    Raises:
        IntegrityError: it is absent or not what was written.
    """
    return Inverse(description.coordinates(), kept(pieces, f"inverse-{description.shards:06}"))


def keep(pieces: Pieces, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Keep tensors as a finished piece."""
    pieces.put(name, {label: tensor.detach().cpu().numpy() for label, tensor in tensors.items()})


def kept(pieces: Pieces, name: str) -> dict[str, Tensor]:
    """The tensors of a finished piece.

    Raises:
        IntegrityError: it is absent, belongs to another store, or is not what was written.
    """
    found = pieces.get(name)
    if found is None:
        where = str(pieces.path(name))
        raise IntegrityError(Complaint("a part of the gradient store is absent, or of another store", where))
    return {label: torch.from_numpy(array.copy()) for label, array in found.items()}
