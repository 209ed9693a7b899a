"""The finder of templates, policies and fonts, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from auditkit import resources
from auditkit.errors import AuditError

FACES = resources.font_faces()


def lay_out(root: Path, *, checkout: bool, packaged: bool, beside: bool) -> Path:
    """A package folder under `root`, with a pyproject.toml, a packaged copy, a folder beside it, as asked."""
    package = root / "auditkit"
    package.mkdir()
    if checkout:
        (root / "pyproject.toml").touch()
    if packaged:
        (package / "_templates").mkdir()
    if beside:
        (root / "templates").mkdir()
    return package


def test_the_checkout_wins_over_a_packaged_copy(tmp_path: Path) -> None:
    package = lay_out(tmp_path, checkout=True, packaged=True, beside=True)
    assert resources._folder("templates", package) == tmp_path / "templates"


def test_an_installed_package_uses_its_own_copy_and_not_a_strangers_folder(tmp_path: Path) -> None:
    package = lay_out(tmp_path, checkout=False, packaged=True, beside=True)
    assert resources._folder("templates", package) == package / "_templates"


def test_a_missing_folder_is_said_by_name(tmp_path: Path) -> None:
    package = lay_out(tmp_path, checkout=True, packaged=False, beside=False)
    with pytest.raises(AuditError, match="the folder 'templates' is missing; install auditkit again"):
        resources._folder("templates", package)


def test_this_checkout_is_read_in_place() -> None:
    root = Path(__file__).resolve().parents[1]
    assert resources.templates_dir() == root / "templates"
    assert resources.policies_dir() == root / "policies"
    assert resources.frameworks_dir() == root / "policies" / "frameworks"


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.path.stem)
def test_a_font_file_is_the_face_it_is_said_to_be(face: resources.FontFace) -> None:
    with TTFont(face.path, lazy=True) as font:
        names = font["name"]
        family = names.getDebugName(16) or names.getDebugName(1)
        assert family == face.family
        assert font["OS/2"].usWeightClass == face.weight
        assert bool(font["OS/2"].fsSelection & 1) == (face.style == "italic")


def test_a_missing_font_package_is_said_by_name() -> None:
    with pytest.raises(AuditError, match="install the package no_such_fonts again"):
        resources._package_file("no_such_fonts", "files/Regular.ttf")
