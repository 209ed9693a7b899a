from __future__ import annotations

import hashlib
from pathlib import Path

from auditkit.ledger.provenance import LIBRARIES, environment, file_digest, run_id


def test_a_files_digest_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    content = b"x" * ((1 << 20) + 3)  # more than one chunk
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_the_environment_names_python_and_every_library() -> None:
    assert set(environment()) == {"python", "system", *LIBRARIES}


def test_the_run_id_depends_on_each_input_and_on_nothing_else() -> None:
    first = run_id("2026-11-23", {"policy": "a", "train": "b"}, seed=1, version="0.1.0")
    assert first == run_id("2026-11-23", {"train": "b", "policy": "a"}, seed=1, version="0.1.0")
    others = [
        run_id("2026-11-24", {"policy": "a", "train": "b"}, seed=1, version="0.1.0"),
        run_id("2026-11-23", {"policy": "a", "train": "c"}, seed=1, version="0.1.0"),
        run_id("2026-11-23", {"policy": "a", "train": "b"}, seed=2, version="0.1.0"),
        run_id("2026-11-23", {"policy": "a", "train": "b"}, seed=1, version="0.1.1"),
    ]
    assert len({first, *others}) == 5
