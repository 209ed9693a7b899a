"""`auditkit import`: the configuration of another tool as a policy file; what differs stands at its top."""

from __future__ import annotations

import argparse
import io
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from auditkit.errors import Complaint, PolicyError

WIDTH = 116
Call = Callable[[argparse.Namespace], int]
Verb = Callable[[str, Call, str], argparse.ArgumentParser]


def add(verb: Verb) -> None:
    """Add the command to the others."""
    sub = verb("import", call, "write a policy from the configuration of another tool")
    sub.add_argument("tool", choices=("aequitas",), help="whose configuration it is")
    sub.add_argument("config", type=Path, help="the configuration file (YAML)")
    sub.add_argument("--data", type=Path, required=True, help="the CSV or Parquet file with score and label_value")
    sub.add_argument(
        "--positive", choices=("favourable", "unfavourable"), required=True,
        help="whether a positive decision (score 1) is good for the person; Aequitas does not say",
    )  # fmt: skip
    sub.add_argument("--label-means", choices=("outcome", "past-decision"), help="what label_value stands for")
    sub.add_argument("--out", type=Path, help="the policy file to write (default: print it)")


def call(arguments: argparse.Namespace) -> int:
    """Read the configuration, write the policy, and tell what is not the same."""
    from auditkit.fairness.importers.aequitas import from_aequitas
    from auditkit.ledger.disk import write, writing
    from auditkit.policy.document import read_document
    from auditkit.policy.guesses import read

    if arguments.out is not None and arguments.out.exists():
        raise PolicyError(Complaint("the file exists already", str(arguments.out), "name another, or remove it"))
    config = read_document(arguments.config).data
    folder = Path.cwd() if arguments.out is None else arguments.out.absolute().parent
    imported = from_aequitas(
        config, read(arguments.data), positive=arguments.positive, label_means=arguments.label_means,
        evaluation=Path(os.path.relpath(arguments.data.absolute(), folder)).as_posix(),
    )  # fmt: skip
    text = as_yaml(imported.policy, imported.told, source=arguments.config.name)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for said in imported.told:
        errors.print(f"[yellow]![/] {escape(said)}")
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    with writing(arguments.out):
        write(arguments.out, text.encode())
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def as_yaml(policy: dict[str, Any], told: Sequence[str], *, source: str) -> str:
    """The policy as YAML, with what its author has to know as comments at the top."""
    from ruamel.yaml import YAML

    lines = [f"# From the Aequitas configuration {source}, written by `auditkit import`.", "# Read before use:"]
    for said in told:
        lines += textwrap.wrap(said, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)
    yaml, body = YAML(), io.StringIO()
    yaml.width, yaml.default_flow_style = WIDTH, False
    yaml.dump(policy, body)
    return "\n".join([*lines, ""]) + body.getvalue()
