"""The user's own Python object behind `module:object`, found beside the policy file or on the Python path.

Importing runs the user's code, as any import does: the policy's author is trusted with that, a data file never is. We
load no pickle; what the user's module does is its own affair.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auditkit.errors import Complaint, ModelError
from auditkit.subject.values import closest

WHERE = "model.subject"


def import_object(spec: str | None, base: Path) -> object:
    """The object that `module:object` names (`object` may be dotted).

    Args:
        spec: for example `my_bank.credit:subject`.
        base: folder of the policy file, searched before the Python path.

    Raises:
        ModelError: no or a malformed name, no such module or object, or the module's own code fails.
    """
    if spec is None:
        raise ModelError(Complaint("this adapter needs a subject", WHERE, "write `subject: my_module:my_object`"))
    name, colon, attribute = spec.partition(":")
    if not colon or not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise ModelError(Complaint(f"{spec!r} is not of the form module:object", WHERE))
    with _beside(name, base):
        try:
            found: object = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            own = missing == name or name.startswith(f"{missing}.")
            what = f"there is no module {missing!r}" if own else f"the module {name!r} needs {missing!r}"
            hint = "put it beside the policy file or install it" if own else f"install {missing}"
            raise ModelError(Complaint(what, WHERE, hint)) from error
        except (Exception, SystemExit) as error:
            raise ModelError(Complaint(f"importing {name!r} failed: {said(error)}", WHERE)) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = closest(part, (known for known in dir(found) if not known.startswith("_")))
            hint = f"did you mean {near!r}?" if near else ""
            raise ModelError(Complaint(f"{name!r} has no {part!r}", WHERE, hint))
        found = getattr(found, part)
    return found


def said(error: BaseException) -> str:
    """A foreign exception in one line: its type and the first line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


@contextmanager
def _beside(name: str, base: Path) -> Iterator[None]:
    """Search `base` first; a module of the same name that another policy's folder gave is forgotten."""
    top = name.partition(".")[0]
    folder = base.resolve()
    here = folder / top if (folder / top).is_dir() else folder / f"{top}.py"
    loaded = sys.modules.get(top)
    if here.exists() and loaded is not None and not _from(loaded, here):
        for key in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
            del sys.modules[key]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with suppress(ValueError):  # the module may have tidied the path itself
            sys.path.remove(str(folder))


def _from(module: object, here: Path) -> bool:
    """Whether a loaded module is the file or the package at `here`."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(Path(place).resolve() == here for place in places if place)
