"""Where the files lie that are not Python: templates, worked policies, legal rule sets and fonts.

In a checkout the folders stand beside the package (`templates/`, `policies/`); in a wheel they lie inside it
(`auditkit/_templates`, `auditkit/_policies`). The checkout's folder wins, so that an edit is seen at once.
Fonts come from installed packages and are found by path, without importing them: importing matplotlib costs
half a second, and the font package registers nothing that is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from auditkit.errors import AuditError, Complaint

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class FontFace:
    """One font file as CSS sees it: `@font-face {font-family; font-weight; font-style; src: path}`."""

    family: str
    weight: Literal[400, 600, 700]
    style: Literal["normal", "italic"]
    path: Path


# Family, weight, style, the package that carries the file, and its place there.
_FACES: tuple[tuple[str, Literal[400, 600, 700], Literal["normal", "italic"], str, str], ...] = (
    ("Source Sans Pro", 400, "normal", "font_source_sans_pro", "files/SourceSansPro-Regular.ttf"),
    ("Source Sans Pro", 400, "italic", "font_source_sans_pro", "files/SourceSansPro-It.ttf"),
    ("Source Sans Pro", 600, "normal", "font_source_sans_pro", "files/SourceSansPro-Semibold.ttf"),
    ("Source Sans Pro", 600, "italic", "font_source_sans_pro", "files/SourceSansPro-SemiboldIt.ttf"),
    ("Source Sans Pro", 700, "normal", "font_source_sans_pro", "files/SourceSansPro-Bold.ttf"),
    ("Source Sans Pro", 700, "italic", "font_source_sans_pro", "files/SourceSansPro-BoldIt.ttf"),
    ("DejaVu Sans", 400, "normal", "matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("DejaVu Sans", 700, "normal", "matplotlib", "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"),
    ("DejaVu Sans Mono", 400, "normal", "matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono.ttf"),
    ("DejaVu Sans Mono", 700, "normal", "matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono-Bold.ttf"),
)


def templates_dir() -> Path:
    """The folder of the report's templates; raises AuditError where the installation lacks it."""
    return _folder("templates", PACKAGE)


def policies_dir() -> Path:
    """The folder of the worked policies; raises AuditError where the installation lacks it."""
    return _folder("policies", PACKAGE)


def frameworks_dir() -> Path:
    """The folder of the dated legal rule sets, one YAML file each."""
    return policies_dir() / "frameworks"


def font_faces() -> tuple[FontFace, ...]:
    """Every face that the report uses: text, fallback for missing glyphs, and code.

    Raises:
        AuditError: a font package or one of its files is not installed.
    """
    return tuple(
        FontFace(family, weight, style, _package_file(package, name))
        for family, weight, style, package, name in _FACES
    )


def _folder(name: str, package: Path) -> Path:
    """The checkout's folder `name` beside `package`, else the packaged copy `_name` inside it.

    With no pyproject.toml beside it, `templates` is not ours: site-packages may hold a stranger's.
    """
    checkout = package.parent
    beside, inside = checkout / name, package / f"_{name}"
    if beside.is_dir() and (checkout / "pyproject.toml").is_file():
        return beside
    if inside.is_dir():
        return inside
    raise AuditError(
        Complaint(f"the folder {name!r} is missing", where=str(package), hint="install auditkit again")
    )


def _package_file(package: str, name: str) -> Path:
    """The file `name` of the installed top-level package `package`, which is looked up but not imported."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / name
        if path.is_file():
            return path
    raise AuditError(
        Complaint(f"the file {name} is missing", where=package, hint=f"install the package {package} again")
    )
