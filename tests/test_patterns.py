"""Every regular expression of the program runs in linear time: none repeats without end what repeats without end."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CALLS = {
    "compile",
    "match",
    "fullmatch",
    "search",
    "sub",
    "subn",
    "findall",
    "finditer",
    "split",
    "contains",
    "replace",
}
ENDLESS = re._constants.MAXREPEAT  # type: ignore[attr-defined]
REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}
CPU_SECONDS = 60


def patterns() -> Iterator[tuple[str, str]]:
    """Where a literal is used as a pattern, and the pattern."""
    for file in sorted((ROOT / "auditkit").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
                yield from ((f"{file.name}:{node.lineno}", text) for text in literals(node.args[:1]))
            if isinstance(node, ast.keyword) and node.arg == "pattern":
                yield from ((f"{file.name}:{node.value.lineno}", text) for text in literals([node.value]))


def literals(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value


def nested(tree: Any, *, within: bool = False) -> bool:
    """Whether an endless repetition stands in an endless repetition."""
    for operator, argument in tree:
        endless = str(operator) in REPEATS and argument[1] == ENDLESS
        if (endless and within) or any(nested(part, within=within or endless) for part in parts(operator, argument)):
            return True
    return False


def parts(operator: Any, argument: Any) -> list[Any]:
    """What a piece of a pattern is made of."""
    if str(operator) in REPEATS:
        return [argument[2]]
    if str(operator) == "BRANCH":
        return list(argument[1])
    if str(operator) == "SUBPATTERN":
        return [argument[-1]]
    return [argument[1]] if str(operator) in {"ASSERT", "ASSERT_NOT"} else []


def test_no_pattern_nests_repetitions() -> None:
    listed = dict(patterns())
    assert len(listed) > 20
    parsed = {place: re._parser.parse(text) for place, text in listed.items() if readable(text)}  # type: ignore[attr-defined]
    assert [place for place, tree in parsed.items() if nested(tree)] == []


def readable(text: str) -> bool:
    """A literal text of `split` or `replace` need not be a pattern at all."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True


@pytest.mark.parametrize("text", [r"(a+)+", r"(\s*#[^\n]*\n|\s*\n)*%", r"(?:x*y)*", r"((a|b)*c)*"])
def test_the_check_sees_nested_repetitions(text: str) -> None:
    assert nested(re._parser.parse(text))  # type: ignore[attr-defined]


LARGE = {
    "blank lines": "\n" * 900_000, "lines of blanks": " \n" * 450_000, "comments": "# c\n" * 220_000,
    "comments without text": "#\n" * 450_000, "blank lines and comments": "#\n  \n" * 180_000,
    "comments, then a directive": "# c\n" * 200_000 + "%YAML 1.2\n", "one line of blanks": " " * 900_000 + "%",
    "one long comment": "#" * 900_000, "a long text": f"a: '{'x' * 900_000}'", "a long key": f"{'k' * 900_000}: 1",
    "a long number": "a: " + "9" * 900_000, "a long fraction": "a: 0." + "1" * 900_000,
    "a list on one line": "a: [" + "1, " * 290_000 + "1]", "a list in lines": "a:\n" + "- 1\n" * 220_000,
    "open brackets": "a: " + "[" * 900_000, "open braces": "a: " + "{" * 900_000, "dashes": "- " * 450_000,
    "question marks": "? " * 450_000, "anchors": "a: &a 1\n" * 110_000, "escapes": 'a: "' + r"\x41" * 220_000 + '"',
    "tabs": "a:\n" + "\t" * 900_000, "directives": "%A b\n" * 180_000,
}  # fmt: skip
SCRIPT = """
import sys
from pathlib import Path
from auditkit.errors import PolicyError
from auditkit.policy.load import load
for name in sys.argv[1:]:
    try:
        load(Path(name))
    except PolicyError as error:
        print(error.complaints[0])
"""


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def test_large_policies_of_every_kind_are_answered(tmp_path: Path) -> None:
    files = []
    for name, text in LARGE.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(text[:300_000], "utf-8")
    command = [sys.executable, "-c", SCRIPT, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stdout.splitlines()) == len(LARGE)
