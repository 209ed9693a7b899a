"""What can go wrong, as types: each error carries every complaint at once and the exit code of its kind.

A complaint names the place (file, line, column of a text; or file, row, column of a table), the value met and what
to do about it. Nothing here formats for a terminal: `str(complaint)` is the one line that a user reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

MISSING: Final = 6
"""Exit code: a format that was asked for is missing; the others stand."""
EXIT_STRENGTH: Final = (70, 5, 2, 4, 1, MISSING, 3, 0)
"""Exit codes, strongest first."""


def strongest(codes: Iterable[int]) -> int:
    """The strongest of several exit codes.

    >>> strongest([3, 6, 0])
    6
    """
    present = set(codes)
    return next(code for code in EXIT_STRENGTH if code in present)


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong, where it stands, and what to do.

    `where` is the place as a user would look for it: `loans.yaml:12:5` (file:line:column) or
    `train.csv, column 'income', row 17`. `hint` says what to do; it may be empty when the message already does.
    """

    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """`where: message; hint` on one line."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}; {self.hint}" if self.hint else text


class AuditError(Exception):
    """An expected failure of an audit: its complaints, all at once, and the exit code of its kind."""

    exit_code: ClassVar[int] = 70
    title: ClassVar[str] = "the audit stopped"

    def __init__(self, complaints: Iterable[Complaint] | Complaint | str) -> None:
        """Take one message, one complaint or many; keep them in the order given."""
        if isinstance(complaints, str):
            complaints = [Complaint(complaints)]
        elif isinstance(complaints, Complaint):
            complaints = [complaints]
        self.complaints: tuple[Complaint, ...] = tuple(complaints)
        super().__init__("\n".join(str(complaint) for complaint in self.complaints))


class PolicyError(AuditError):
    """The policy (or the command line) asks for something that it may not, or says it wrongly."""

    exit_code = 2
    title = "the policy has to be corrected"


class DataError(AuditError):
    """A data file is missing, unreadable or does not hold what the policy says it holds."""

    exit_code = 4
    title = "the data have to be corrected"


class ModelError(AuditError):
    """The model is missing, does not fit the data, or breaks the protocol of its adapter."""

    exit_code = 4
    title = "the model has to be corrected"


class NumericsError(AuditError):
    """A computation gave no usable number (not finite, indefinite, diverged) and says which."""

    exit_code = 4
    title = "a computation failed"


class IntegrityError(AuditError):
    """A file is not the file it is said to be."""

    exit_code = 5
    title = "an integrity check failed"
