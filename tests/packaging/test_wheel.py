"""What a wheel carries, and what an editable install must not carry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys, hatchling.build as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"


def build(hook: str, folder: Path) -> Path:
    """The wheel that pip would get from the backend's hook `build_wheel` or `build_editable`, in `folder`."""
    command = [sys.executable, "-c", BUILD, hook, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", tmp_path_factory.mktemp("wheel"))


def files_below(folder: Path, suffix: str = "") -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(("folder", "packaged"), [("templates", "_templates"), ("policies", "_policies")])
def test_the_wheel_holds_every_template_and_policy(wheel: Path, folder: str, packaged: str) -> None:
    prefix = f"auditkit/{packaged}/"
    with ZipFile(wheel) as archive:
        inside = {name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)}
        expected = files_below(ROOT / folder)
        assert expected
        assert inside == expected
        for name in expected:
            assert archive.read(prefix + name) == (ROOT / folder / name).read_bytes()


def test_the_wheel_holds_the_frameworks_the_code_and_the_type_marker(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert any(name.startswith("auditkit/_policies/frameworks/") for name in names)
    assert "auditkit/py.typed" in names
    code = {f"auditkit/{name}" for name in files_below(ROOT / "auditkit", ".py")}
    assert {name for name in names if name.endswith(".py")} == code


def test_an_installed_wheel_finds_its_own_files(wheel: Path, tmp_path: Path) -> None:
    """Unpacked where no checkout stands, beside a stranger's folder of the same name."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "templates").mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from auditkit import resources as r; "
        "print(r.templates_dir(), r.policies_dir(), r.frameworks_dir())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    package = tmp_path.resolve() / "auditkit"
    expected = [package / "_templates", package / "_policies", package / "_policies" / "frameworks"]
    assert done.stdout.split() == [str(path) for path in expected]


def test_an_editable_install_is_a_path_entry_without_copies(tmp_path: Path) -> None:
    with ZipFile(build("build_editable", tmp_path)) as archive:
        content = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert content == ["_auditkit.pth"]
        assert archive.read("_auditkit.pth").decode().split() == [str(ROOT)]
