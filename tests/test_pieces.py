from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auditkit.errors import IntegrityError
from auditkit.pieces import Nothing, Pieces, digest


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "a": rng.normal(size=(3, 4)),
        "b": np.arange(5),
        "empty": np.zeros((0, 2)),
        "flags": np.array([True, False]),
    }


def test_a_piece_comes_back_bit_by_bit(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "new" / "folder", "key")
    pieces.put("factors", arrays())
    found = pieces.get("factors")
    assert found is not None
    assert sorted(found) == sorted(arrays())
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = Pieces(tmp_path / "1", "key"), Pieces(tmp_path / "2", "key")
    one.put("x", arrays())
    two.put("x", dict(reversed(arrays().items())))
    assert one.path("x").read_bytes() == two.path("x").read_bytes()


def test_another_key_does_not_see_it(tmp_path: Path) -> None:
    Pieces(tmp_path, "key").put("x", arrays())
    assert Pieces(tmp_path, "other").get("x") is None
    assert Pieces(tmp_path, "key").get("y") is None


@pytest.mark.parametrize("where", [3, 40, -3])
def test_damage_is_found(tmp_path: Path, where: int) -> None:
    pieces = Pieces(tmp_path, "key")
    pieces.put("x", arrays())
    content = bytearray(pieces.path("x").read_bytes())
    content[where] ^= 0x41
    pieces.path("x").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"not what was written"):
        pieces.get("x")


def test_half_a_file_is_found(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, "key")
    pieces.put("x", arrays())
    pieces.path("x").write_bytes(pieces.path("x").read_bytes()[:50])
    with pytest.raises(IntegrityError):
        pieces.get("x")


def test_nothing_is_left_beside_the_pieces(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, "key")
    pieces.put("x", arrays())
    pieces.put("x", arrays())
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_the_digest_sees_names_types_and_shapes() -> None:
    base = {"a": np.zeros(4)}
    others = [{"b": np.zeros(4)}, {"a": np.zeros((2, 2))}, {"a": np.zeros(4, dtype=np.int64)}, {"a": np.ones(4)}]
    assert len({digest(base), *(digest(other) for other in others)}) == 5


def test_nothing_keeps_nothing() -> None:
    keep = Nothing()
    keep.put("x", arrays())
    assert keep.get("x") is None


def test_a_single_number_stays_one(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, "k")
    pieces.put("one", {"count": np.array(3)})
    found = pieces.get("one")
    assert found is not None
    assert found["count"].shape == ()
    assert int(found["count"]) == 3
