"""One YAML file as plain data, with the line and column of every key and entry.

YAML 1.2 (`on`, `yes` and `no` are texts), one document, text keys, no duplicate keys, no tags of other languages.
Dates stay text: the schema reads them where it expects them. The file is composed into nodes and never constructed
into objects, so that a file can ask for nothing but mappings, lists, texts, numbers, true, false and null.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from auditkit.errors import Complaint, PolicyError

KeyPath: TypeAlias = tuple[str | int, ...]
Mark: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

TABLES: Final = (".csv", ".tsv", ".parquet", ".pq")
LARGEST_FILE: Final = 1_000_000
MOST_NODES: Final = 20_000
DEEPEST: Final = 40
TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """A YAML file read: its data and where each key stands."""

    path: Path
    data: Mapping[str, Any]
    marks: Mapping[KeyPath, Mark]

    def place(self, key_path: KeyPath) -> str:
        """`file:line:column` of a key or list entry, or of its nearest existing parent."""
        while key_path not in self.marks:
            key_path = key_path[:-1]
        line, column = self.marks[key_path]
        return f"{friendly(self.path)}:{line}:{column}"


def friendly(path: Path) -> str:
    """The path as a user would type it: relative where it lies under the working folder."""
    try:
        return str(path.relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except ValueError:
        return str(path)


def read_document(path: Path) -> Document:
    """Read and check one YAML file.

    Raises:
        PolicyError: the file is missing, unreadable, empty, too large, not UTF-8, not YAML, or not one mapping with
            unique text keys; with file:line:column wherever there is a line.
    """
    if path.suffix.lower() in TABLES and path.is_file():
        hint = f"`auditkit init {friendly(path)}` writes a first policy from it"
        raise PolicyError(Complaint("this is a data file, and a policy is YAML", friendly(path), hint))
    text = _text(path)
    root = _compose(path, text)
    if root is None:
        hint = "write the keys auditkit, name, data, model and rules, or start with `auditkit init`"
        raise PolicyError(Complaint("the file is empty", where=f"{friendly(path)}:1:1", hint=hint))
    walker = _Walker(path)
    data = walker.value(root, ())
    if walker.complaints:
        raise PolicyError(walker.complaints)
    if not isinstance(data, dict):
        message = f"the file holds {kind_of(data)} where a mapping is expected"
        raise PolicyError(Complaint(message, where=_at(path, root.start_mark), hint="write `key: value` lines"))
    walker.marks[()] = (1, 1)
    return Document(path=path, data=data, marks=walker.marks)


def kind_of(value: object) -> str:
    """What a YAML value is, for a reader: `a list`, `text`, `a number`, ..."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"


def as_json(data: object) -> str:
    """The data as the JSON text that the schemas validate; infinite numbers are written as pydantic reads them."""
    return json.dumps(data, ensure_ascii=False)


def _nearest(path: Path) -> str:
    """A policy beside the missing file whose name is close to it, as a hint; empty when there is none."""
    if not path.parent.is_dir():
        return f"there is no folder {friendly(path.parent)} either"
    close = difflib.get_close_matches(path.name, sorted(f.name for f in path.parent.glob("*.y*ml")), 1, 0.8)
    return f"did you mean {friendly(path.parent / close[0])}?" if close else ""


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise PolicyError(Complaint("there is no such file", where=friendly(path), hint=_nearest(path))) from None
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise PolicyError(Complaint(f"the file cannot be read ({reason})", where=friendly(path))) from None
    if len(raw) > LARGEST_FILE:
        message = f"the file has {len(raw)} bytes, more than the {LARGEST_FILE} that a policy may have"
        raise PolicyError(Complaint(message, where=friendly(path)))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", errors="replace")
        where = f"{friendly(path)}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        message = f"the file is not UTF-8 (byte 0x{raw[error.start]:02x})"
        raise PolicyError(Complaint(message, where=where, hint="save it as UTF-8")) from None


def _compose(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    directive = _directive(text)
    if directive:
        message = "YAML directives are not read"
        where = f"{friendly(path)}:{directive}:1"
        raise PolicyError(Complaint(message, where=where, hint="remove the line starting with %"))
    try:
        _require_few(path, YAML(typ="safe", pure=True).parse(text))
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise PolicyError(_yaml_complaint(path, text, error)) from None
    except YAMLError as error:
        position = int(getattr(error, "position", 0))
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        message = "the file holds a control character"
        raise PolicyError(Complaint(message, where=f"{friendly(path)}:{line}:{column}", hint="remove it")) from None
    except RecursionError:
        raise PolicyError(Complaint("the file is nested too deeply", where=f"{friendly(path)}:1:1")) from None


def _directive(text: str) -> int:
    """The line, from 1, of a `%` directive above the first content of the file; 0 where there is none."""
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()
        if content and not content.startswith("#"):
            return number if line.startswith("%") else 0
    return 0


def _require_few(path: Path, events: Iterable[Any]) -> None:
    """Stop while the file is still being parsed: nodes take far longer to compose than to count.

    Raises:
        PolicyError: more than MOST_NODES values are written out, or one stands in more than DEEPEST others.
    """
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent

    nodes = depth = 0
    for event in events:
        nodes += isinstance(event, NodeEvent)
        if nodes > MOST_NODES or (depth > DEEPEST and isinstance(event, NodeEvent)):
            raise PolicyError(_too_many(path, event.start_mark))
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)


def _too_many(path: Path, mark: Any) -> Complaint:
    hint = f"write at most {MOST_NODES:,} values, {DEEPEST} deep"
    return Complaint("the file holds too many or too deeply nested values", where=_at(path, mark), hint=hint)


def _yaml_complaint(path: Path, text: str, error: Any) -> Complaint:
    """The parser's words, in ours where the usual slips are concerned."""
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    before = lines[mark.line][: mark.column + 1] if mark is not None and mark.line < len(lines) else ""
    problem = str(error.problem or error.context or "it cannot be read")
    opened = {"while parsing a flow sequence": "[]", "while parsing a flow mapping": "{}"}.get(str(error.context))
    if "\t" in before:
        return Complaint("a tab stands where YAML wants spaces", _at(path, mark), "indent with spaces")
    if opened and problem.startswith("expected ','"):
        message = f"the bracket '{opened[0]}' is not closed"
        return Complaint(message, _at(path, error.context_mark), f"write '{opened[1]}' after the last entry")
    if problem == "mapping values are not allowed here":
        message = "a colon or an indentation that YAML cannot read"
        return Complaint(message, _at(path, mark), "put a text with a colon in quotes; align the keys")
    if "another document" in problem:
        return Complaint("a second YAML document begins", _at(path, mark), "keep one document per file")
    context = f"{error.context}: " if error.context else ""
    return Complaint(f"not valid YAML ({context}{problem})", _at(path, mark))


def _at(path: Path, mark: Any) -> str:
    return f"{friendly(path)}:{mark.line + 1}:{mark.column + 1}" if mark is not None else friendly(path)


class _Walker:
    """Turns nodes into data and remembers where each key stands; complains about all it may not read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: dict[KeyPath, Mark] = {}
        self.complaints: list[Complaint] = []
        self._budget = MOST_NODES
        self._open: set[int] = set()

    def value(self, node: Any, key_path: KeyPath) -> Any:
        """The node as data; aliases are followed within a budget: a small file cannot unfold into a huge one."""
        self._budget -= 1
        if self._budget < 0 or len(key_path) > DEEPEST or id(node) in self._open:
            if id(node) not in self._open:
                raise PolicyError(_too_many(self.path, node.start_mark))
            message, where = "the file holds an alias that contains itself", _at(self.path, node.start_mark)
            raise PolicyError(Complaint(message, where=where, hint="write the values out"))
        self.marks.setdefault(key_path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if node.id == "scalar":
            return self._scalar(node)
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self._refuse(node, f"the tag {node.tag} is not read", "remove it")
            return None
        self._open.add(id(node))
        try:
            if node.id == "sequence":
                return [self.value(item, (*key_path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, key_path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, key_path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self._refuse(key_node, "a key has to be text", "write `key: value`")
                continue
            key = str(key_node.value)
            if key_node.tag == f"{TAG}merge":
                self._refuse(key_node, "merge keys (<<) are not read", "use `extends`, or write the keys out")
                continue
            here = (*key_path, key)
            if key in data:
                self._refuse(key_node, f"the key '{key}' stands twice (first in line {self.marks[here][0]})",
                             "keep one")  # fmt: skip
                continue
            self.marks[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            data[key] = self.value(value_node, here)
        return data

    def _scalar(self, node: Any) -> str | int | float | bool | None:
        text, kind = str(node.value), str(node.tag).removeprefix(TAG)
        if kind in ("str", "timestamp"):
            return text
        if kind in ("null", "bool"):
            return text.lower() == "true" if kind == "bool" else None
        if kind in ("int", "float"):
            return self._number(node, text, whole=kind == "int")
        self._refuse(node, f"the tag {node.tag} is not read", "remove it")
        return None

    def _number(self, node: Any, text: str, *, whole: bool) -> int | float | None:
        plain = text.replace("_", "").lower()
        try:
            if whole:
                return int(plain, 0 if re.match(r"[-+]?0[xob]", plain) else 10)
            number = float(plain.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            self._refuse(node, f"'{shown}' cannot be read as a number", "put a text in quotes")
            return None
        if math.isnan(number):
            self._refuse(node, f"'{text}' is no value that a policy can hold", "write a number")
        return number

    def _refuse(self, node: Any, message: str, hint: str) -> None:
        self.complaints.append(Complaint(message, where=_at(self.path, node.start_mark), hint=hint))
