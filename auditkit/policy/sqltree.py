"""DuckDB's parsed expression, checked node by node and written again as SQL of our own.

What is executed is only what this file writes: a node that it does not know has no way into the statement. Columns
become `c0`, `c1`, ... so that no name of a user's file is ever part of executed text. The tree's shape is that of
DuckDB 2 (`json_serialize_sql`); a detail of a node that is not known here is refused, so that a newer DuckDB can add
syntax but not smuggle it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEEPEST: Final = 60

COMPARISONS: Final = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "//", "%"})
LIKE: Final = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}
LIKE_ESCAPE: Final = {
    "like_escape": "LIKE",
    "not_like_escape": "NOT LIKE",
    "ilike_escape": "ILIKE",
    "not_ilike_escape": "NOT ILIKE",
}
FUNCTIONS: Final = frozenset(
    {"abs", "ceil", "floor", "round", "greatest", "least", "lower", "upper", "length", "trim", "starts_with"}
    | {"ends_with", "nullif", "year", "quarter", "month", "day"}
)
DATE_PARTS: Final = frozenset({"year", "quarter", "month", "day"})
TYPES: Final = frozenset(
    {"BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"}
)
TYPE_NAMES: Final = {"INT": "INTEGER", "TEXT": "VARCHAR", "REAL": "FLOAT", "BOOL": "BOOLEAN"}
LITERALS: Final = {
    "INTEGER": r"-?[\d_]+",
    "NUMERIC": r"-?[\d_]*\.?[\d_]*([eE][-+]?\d+)?",
    "BOOLEAN": "true|false",
}

# What a class of node may hold beside its own parts; the parser's places and names are not executed.
_ALWAYS: Final = frozenset({"class", "type", "query_location", "query_location_length"})
_PARTS: Final[dict[str, frozenset[str]]] = {
    "COLUMN_REF": frozenset({"column_names"}),
    "CONSTANT": frozenset({"literal"}),
    "COMPARISON": frozenset({"left", "right"}),
    "CONJUNCTION": frozenset({"children"}),
    "BETWEEN": frozenset({"input", "lower", "upper"}),
    "OPERATOR": frozenset({"children"}),
    "CAST": frozenset({"child", "type_expr", "try_cast"}),
    "TYPE": frozenset({"type_name", "children", "catalog", "schema", "qualified_name"}),
    "FUNCTION": frozenset({"function_name", "is_operator", "arguments", "qualified_name", "order_bys"}),
}
_NAMED: Final = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star (*)",
    "PARAMETER": "a parameter",
    "LAMBDA": "a lambda function",
    "CASE": "CASE",
    "COLLATE": "COLLATE",
    "POSITIONAL_REFERENCE": "a column by its position",
    "DEFAULT": "DEFAULT",
}
ALLOWED: Final = (
    "a row filter may hold columns, literals, comparisons, AND, OR, NOT, arithmetic, IN (list), BETWEEN, LIKE, "
    "IS NULL, CAST and a few functions"
)
ALLOWED_FUNCTIONS: Final = f"functions allowed: coalesce, {', '.join(sorted(FUNCTIONS))}"
ALLOWED_TYPES: Final = f"types allowed: {', '.join(sorted(TYPES))}"


class Refused(Exception):
    """What a row filter may not hold: in words, where it stands in the parsed text (bytes), and what to do."""

    def __init__(self, construct: str, node: Mapping[str, Any], *, verb: str = "holds ", hint: str = ALLOWED) -> None:
        super().__init__(construct)
        self.problem = verb + construct
        self.hint = hint
        self.start = int(node.get("query_location", 0))
        self.length = int(node.get("query_location_length", 0))


@dataclass
class Writer:
    """Writes a checked tree as SQL; keeps the columns met and every sub-expression, innermost first."""

    columns: list[str] = field(default_factory=list)
    written: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    numbered: set[str] = field(default_factory=set)
    """Columns that are compared with a number as it stands; SQL would cast text and say '5.4' = 5."""
    _depth: int = 0

    def write(self, node: Mapping[str, Any]) -> str:
        """The node as SQL, fully parenthesised.

        Raises:
            Refused: the node, or one below it, is not on the list.
        """
        kind = str(node.get("class"))
        if kind not in _PARTS or kind == "TYPE":
            raise Refused(_NAMED.get(kind, f"the construct {kind}"), node)
        _refuse_details(kind, node)
        self._depth += 1
        if self._depth > DEEPEST:
            raise Refused(f"an expression nested deeper than {DEEPEST}", node)
        sql = str(getattr(self, f"_{kind.lower()}")(node))
        self._depth -= 1
        if kind not in ("COLUMN_REF", "CONSTANT"):
            names = frozenset(self.columns[int(index)] for index in re.findall(r'"c(\d+)"', _outside_text(sql)))
            self.written.append((sql, names))
        return sql

    def _column_ref(self, node: Mapping[str, Any]) -> str:
        names: list[str] = node["column_names"]
        if len(names) != 1:
            raise Refused("a qualified name", node, hint="write one name, in double quotes if it has a dot")
        if names[0] not in self.columns:
            self.columns.append(names[0])
        return f'"c{self.columns.index(names[0])}"'

    def _constant(self, node: Mapping[str, Any]) -> str:
        literal = node["literal"]
        kind, text = str(literal.get("kind")), str(literal.get("text", ""))
        if set(literal) - {"kind", "text"}:
            raise Refused("a literal with a detail that is not known", node)
        if kind == "NULL_LITERAL":
            return "NULL"
        if kind == "STRING":
            return "'" + text.replace("'", "''") + "'"
        if kind in LITERALS and re.fullmatch(LITERALS[kind], text) and text:
            return f"({text})" if text.startswith("-") else text
        raise Refused(f"a literal of the kind {kind}", node)

    def _comparison(self, node: Mapping[str, Any]) -> str:
        operator = COMPARISONS.get(node["type"])
        if operator is None:
            raise Refused(f"the comparison {node['type']}", node)
        self._note_numbers([node["left"], node["right"]])
        return f"({self.write(node['left'])} {operator} {self.write(node['right'])})"

    def _conjunction(self, node: Mapping[str, Any]) -> str:
        word = {"CONJUNCTION_AND": " AND ", "CONJUNCTION_OR": " OR "}.get(node["type"])
        if word is None:
            raise Refused(f"the construct {node['type']}", node)
        return f"({word.join(self.write(child) for child in node['children'])})"

    def _between(self, node: Mapping[str, Any]) -> str:
        if node["type"] != "COMPARE_BETWEEN":
            raise Refused(f"the construct {node['type']}", node)
        self._note_numbers([node[part] for part in ("input", "lower", "upper")])
        value, low, high = (self.write(node[part]) for part in ("input", "lower", "upper"))
        return f"({value} BETWEEN {low} AND {high})"

    def _operator(self, node: Mapping[str, Any]) -> str:
        kind = node["type"]
        children = [self.write(child) for child in node["children"]]
        if kind == "OPERATOR_NOT" and len(children) == 1:
            return f"(NOT {children[0]})"
        if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL") and len(children) == 1:
            return f"({children[0]} {kind.removeprefix('OPERATOR_').replace('_', ' ')})"
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN") and len(children) > 1:
            self._note_numbers(node["children"])
            word = "IN" if kind == "COMPARE_IN" else "NOT IN"
            return f"({children[0]} {word} ({', '.join(children[1:])}))"
        if kind == "OPERATOR_COALESCE":
            return f"coalesce({', '.join(children)})"
        raise Refused("an element of a list" if kind == "ARRAY_EXTRACT" else f"the operator {kind}", node)

    def _note_numbers(self, nodes: list[Mapping[str, Any]]) -> None:
        kinds = {str(node.get("literal", {}).get("kind")) for node in nodes if node.get("class") == "CONSTANT"}
        if kinds & {"INTEGER", "NUMERIC"}:
            self.numbered |= {str(n["column_names"][0]) for n in nodes if n.get("class") == "COLUMN_REF"}

    def _cast(self, node: Mapping[str, Any]) -> str:
        target = node["type_expr"]
        _refuse_details("TYPE", target)
        name = str(target.get("type_name", "")).upper()
        name = TYPE_NAMES.get(name, name)
        if name not in TYPES or target.get("children") or target.get("schema") or target.get("catalog"):
            raise Refused(f"CAST to {name or 'a type'}", node, hint=ALLOWED_TYPES)
        word = "TRY_CAST" if node["try_cast"] else "CAST"
        return f"{word}({self.write(node['child'])} AS {name})"

    def _function(self, node: Mapping[str, Any]) -> str:
        name = str(node["function_name"])
        if node["order_bys"] and node["order_bys"].get("orders"):
            raise Refused("ORDER BY in a function", node)
        if any(argument["name"] for argument in node["arguments"]):
            raise Refused(f"a named argument of the function {name}", node)
        nodes = [argument["expression"] for argument in node["arguments"]]
        if node["is_operator"]:
            return self._infix(name, nodes, node)
        if name == "date_part":
            return self._date_part(nodes, node)
        if name not in FUNCTIONS:
            what = "IN without a list in parentheses" if name == "contains" else f"the function {name}"
            raise Refused(what, node, hint=ALLOWED if name == "contains" else ALLOWED_FUNCTIONS)
        return f"{name}({', '.join(self.write(part) for part in nodes)})"

    def _infix(self, name: str, nodes: list[Mapping[str, Any]], node: Mapping[str, Any]) -> str:
        parts = [self.write(part) for part in nodes] if name in ARITHMETIC | set(LIKE) | set(LIKE_ESCAPE) else []
        if name in ("+", "-") and len(parts) == 1:
            return f"({name} {parts[0]})"
        if name in ARITHMETIC and len(parts) == 2:
            return f"({parts[0]} {name} {parts[1]})"
        if name in LIKE and len(parts) == 2:
            return f"({parts[0]} {LIKE[name]} {parts[1]})"
        if name in LIKE_ESCAPE and len(parts) == 3:
            return f"({parts[0]} {LIKE_ESCAPE[name]} {parts[1]} ESCAPE {parts[2]})"
        raise Refused(f"the operator {name}", node)

    def _date_part(self, nodes: list[Mapping[str, Any]], node: Mapping[str, Any]) -> str:
        part = str(nodes[0].get("literal", {}).get("text", "")).lower() if len(nodes) == 2 else ""
        if part not in DATE_PARTS:
            raise Refused("a part of a date other than year, quarter, month or day", node)
        return f"{part}({self.write(nodes[1])})"


def _refuse_details(kind: str, node: Mapping[str, Any]) -> None:
    """Whatever a node holds beside its known parts has to be empty (no filter, no DISTINCT, no schema, no alias)."""
    for key, value in node.items():
        if key not in _ALWAYS | _PARTS[kind] and value:
            what = {"filter": "FILTER", "distinct": "DISTINCT", "schema": "a qualified function name"}.get(key, key)
            raise Refused(f"{what} in {str(node.get('function_name', kind)).lower()}", node)


def _outside_text(sql: str) -> str:
    return re.sub(r"'(?:[^']|'')*'", "''", sql)
