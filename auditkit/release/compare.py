"""Which cells differ from a set that an earlier release told of by so few persons that the difference tells of them.

Two figures over the sets A and B, subtracted, are a figure over what is in one set alone. Where that is somebody, and
fewer than the minimum cell on either side, the pair tells of those persons. Where it is many on one side, their
contributions, which nobody knows, cover those of the few. Sets are compared two by two, and what a line of a table
leaves (a whole without its published members) is compared as a set of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from auditkit.release.cells import Cells, Name
from auditkit.subject.types import Ints, Mask


@dataclass(frozen=True)
class Line:
    """A published whole and the disjoint cells that it is divided into."""

    whole: Name
    parts: tuple[Name, ...]


def differing(new: Cells, earlier: Sequence[Cells], *, minimum: int) -> frozenset[Name]:
    """Cells of `new` whose figures, beside those of some earlier release, would tell of fewer than `minimum` persons.

    Cells of one name are always compared. Others are compared where both hold at least `minimum` and one of them is no
    cell of outcomes, unless the new cell is the same set as its namesake: what two sets of one release tell together is
    settled within the release.
    """
    names = list(new.members)
    small = np.zeros(len(names), dtype=np.bool_)
    same = np.zeros(len(names), dtype=np.bool_)
    crossed = np.zeros(len(names), dtype=np.bool_)
    for other in earlier:
        own, cross, equal = _against(new, other, names, minimum)
        small |= own
        crossed |= cross
        same |= equal
    return frozenset(name for name, few in zip(names, small | (crossed & ~same), strict=True) if few)


def isolates(new: Cells, old: Cells, one: Ints, other: Ints, *, minimum: int) -> bool:
    """Whether two sets of records, of the new and of an earlier release, differ by a few persons in either view."""
    for mine, theirs in ((new.ids, old.ids), (new.contents, old.contents)):
        left, right = set(mine[one].tolist()), set(theirs[other].tolist())
        if _few(len(left - right), len(right - left), minimum):
            return True
    return False


def complete(
    new: Cells, earlier: Sequence[Cells], held: Iterable[Name], lines: Sequence[Line], *, minimum: int
) -> frozenset[Name]:
    """`held` and what must be withheld besides, so that no line gives back a cell that is held.

    In a line the open members are subtracted from the open whole, now and in the earlier release: what is left must
    differ by nobody or by at least `minimum`. A whole that is held must not be the sum of open members. The smallest
    open member goes first, then the whole.
    """
    out = set(held)
    changed = True
    while changed:
        changed = False
        for line in lines:
            if line.whole not in new.members or not any(_gives_back(line, new, old, out, minimum) for old in earlier):
                continue
            open_ = [part for part in line.parts if part not in out and len(new.members[part])]
            out.add(min(open_, key=lambda part: (len(new.members[part]), part)) if open_ else line.whole)
            changed = True
    return frozenset(out)


def _gives_back(line: Line, new: Cells, old: Cells, held: set[Name], minimum: int) -> bool:
    """Whether subtraction (or, where the whole is held, addition) of the line's open members tells of a few persons."""
    closed = [part for part in line.parts if part in held]
    open_ = [part for part in line.parts if part not in held and len(new.members[part])]
    known = [part for part in open_ if part in old.members]
    if line.whole not in old.members or len(known) < len(open_) or bool(closed) == (line.whole in held):
        return False  # nothing is held, or both a member and the whole are
    if line.whole in held:
        covered = sum(len(new.members[part]) for part in open_) == len(new.members[line.whole])
        return covered and bool(open_)
    rest, before = (_rest(cells, line.whole, open_) for cells in (new, old))
    return isolates(new, old, rest, before, minimum=minimum)


def _rest(cells: Cells, whole: Name, parts: Sequence[Name]) -> Ints:
    taken = [cells.members[part] for part in parts]
    return np.setdiff1d(cells.members[whole], np.concatenate(taken)) if taken else cells.members[whole]


def _few(here: int, there: int, minimum: int) -> bool:
    return here + there > 0 and max(here, there) < minimum


def _against(new: Cells, old: Cells, names: Sequence[Name], minimum: int) -> tuple[Mask, Mask, Mask]:
    """[C] whether it isolates beside its namesake, beside another set, and whether it equals its namesake."""
    theirs = list(old.members)
    at = {name: k for k, name in enumerate(theirs)}
    own = np.zeros(len(names), dtype=np.bool_)
    cross, equal = own.copy(), own.copy()
    comparable = _comparable(names, theirs)
    for mine, other in ((new.ids, old.ids), (new.contents, old.contents)):
        _, codes = np.unique(np.concatenate([mine, other]), return_inverse=True)
        width = int(codes.max(initial=-1)) + 1
        ours = _matrix([codes[: len(mine)][new.members[name]] for name in names], width)
        beside = _matrix([codes[len(mine) :][old.members[name]] for name in theirs], width)
        here, there, sizes, others = _counts(ours, beside)
        few = (here + there > 0) & (here < minimum) & (there < minimum)
        large = (sizes[:, None] >= minimum) & (others[None, :] >= minimum)
        cross |= (few & large & comparable).any(axis=1)
        for k, name in enumerate(names):
            if name in at:
                own[k] |= few[k, at[name]]
                equal[k] |= not here[k, at[name]] + there[k, at[name]]
    return own, cross, equal


def _comparable(names: Sequence[Name], theirs: Sequence[Name]) -> Mask:
    """[C, D] whether cells of different names are compared."""
    outcomes = [np.array([bool(name.outcome) for name in listed], dtype=np.bool_) for listed in (names, theirs)]
    apart = np.array([[name != other for other in theirs] for name in names], dtype=np.bool_)
    return np.asarray(apart & ~(outcomes[0][:, None] & outcomes[1][None, :]), dtype=np.bool_)


def _counts(ours: csr_array, theirs: csr_array) -> tuple[Ints, Ints, Ints, Ints]:
    """[C, D] persons in the new set alone and in the earlier one alone, and the sizes [C] and [D]."""
    both = np.asarray((ours @ theirs.T).todense(), dtype=np.int64)
    sizes, others = (np.asarray(m.sum(axis=1), dtype=np.int64).ravel() for m in (ours, theirs))
    return sizes[:, None] - both, others[None, :] - both, sizes, others


def _matrix(sets: Sequence[Ints], width: int) -> csr_array:
    """[C, width] 1 where the set holds the person."""
    distinct = [np.unique(found) for found in sets]
    starts = np.cumsum([0, *(len(found) for found in distinct)])
    columns = np.concatenate([*distinct, np.empty(0, dtype=np.int64)])
    return csr_array((np.ones(len(columns), dtype=np.int64), columns, starts), shape=(len(sets), width))
