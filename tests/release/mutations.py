"""Ways to smuggle an id, a single value or a small cell into a public file; each is drawn by a seeded generator."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import pikepdf

Files = dict[str, bytes]
HTML, JSON, PDF = "report.html", "audit.json", "report.pdf"


@dataclass(frozen=True)
class World:
    """An honest audit's public files, and what must not be in them."""

    files: Mapping[str, bytes]
    ids: tuple[str, ...]
    rows: tuple[str, ...]
    """Records as their file has them."""
    values: tuple[float, ...]
    """Losses, scores and self-influence of single records."""


def spelled(key: str, generator: np.random.Generator) -> str:
    """The id in one of many spellings."""
    letters, _, digits = key.partition("-")
    forms = (
        key, key.lower(), f"{letters} {digits}", f"{letters}_{digits}", f"{letters}.{digits}", f"{letters}{digits}",
        f"{letters}\u200b{digits}", f"{letters}-{digits[:2]}\u00ad{digits[2:]}", f"{letters} / {digits}",
        f"x{letters}{digits}y", "".join(f"%{ord(c):02X}" for c in key), "".join(f"&#{ord(c)};" for c in key),
        "".join(f"&#x{ord(c):x};" for c in key),
        "".join(f"\\u{ord(c):04x}" for c in key), "".join(f"\\x{ord(c):02x}" for c in key),
        base64.b64encode(key.encode()).decode(), base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
        base64.b64encode(quote("".join(f"%{ord(c):02X}" for c in key)).encode()).decode(),
        key.encode().hex(), key.encode().hex().upper(), (b"\xfe\xff" + key.encode("utf-16-be")).hex(),
        " ".join(f"{ord(c):02x}" for c in key), f"<b>{letters}</b>-{digits}",
    )  # fmt: skip
    return forms[int(generator.integers(len(forms)))]


def secret(world: World, generator: np.random.Generator) -> str:
    """An id in some spelling, a value of a single record, or a digest of a record."""
    kind = generator.integers(4)
    if kind < 2:
        return spelled(str(generator.choice(world.ids)), generator)
    if kind == 2:
        return repr(float(generator.choice(world.values)))
    content = str(generator.choice(world.rows)).encode()
    name = str(generator.choice(["sha256", "sha1", "md5", "blake2b", "sha512"]))
    digest = hashlib.new(name, content)
    if generator.integers(2) or name == "sha512":
        return digest.hexdigest()
    return base64.b64encode(digest.digest()).decode()


def into_html(world: World, generator: np.random.Generator) -> Files:
    """Into a text, an attribute, a comment, a script, a style or a figure."""
    said, text = secret(world, generator), world.files[HTML].decode()
    attribute = said.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    places: tuple[Callable[[], str], ...] = (
        lambda: text.replace("</p>", f" {said}</p>", 1),
        lambda: text.replace("<section", f'<section data-key="{attribute}"', 1),
        lambda: text.replace("</body>", f'<svg><path aria-label="{attribute}" d="M 0 0"/></svg></body>', 1),
        lambda: text.replace("</body>", f"<!-- {said} --></body>", 1),
        lambda: text.replace("</body>", f"<script type='application/json'>[\"{said}\"]</script></body>", 1),
        lambda: text.replace("</style>", f"/* {said} */</style>", 1),
        lambda: text.replace("</body>", f'<img alt="" src="data:image/svg+xml;base64,{_svg(said)}"></body>', 1),
        lambda: text.replace("<td", f'<td title="{attribute}"', 1),
        lambda: text + f"\n{said}\n",
    )
    return {**world.files, HTML: _one(places, generator).encode()}


def into_json(world: World, generator: np.random.Generator) -> Files:
    """Into a text of the result, a new field, a second key of the same name, or behind the end."""
    said, document = secret(world, generator), json.loads(world.files[JSON])
    places: tuple[Callable[[], str], ...] = (
        lambda: _dumped(document | {"title": document["title"] + f" {said}"}),
        lambda: _dumped(document | {"limits": [*document["limits"], {"name": "Note", "value": said, "stated": True}]}),
        lambda: _dumped(document | {"note": said}),
        lambda: world.files[JSON].decode().replace("{", '{"title": ' + json.dumps(said) + ",", 1),
        lambda: _dumped(document | {"policy": document["policy"] | {said: 1}}),
        lambda: world.files[JSON].decode() + f"// {said}\n",
    )  # fmt: skip
    return {**world.files, JSON: _one(places, generator).encode()}


def into_pdf(world: World, generator: np.random.Generator) -> Files:
    """Into metadata, an annotation, an attachment, a page, a stream that nothing shows, or behind the end."""
    said = secret(world, generator)
    with pikepdf.open(io.BytesIO(world.files[PDF])) as pdf:
        kind = int(generator.integers(7))
        page = pdf.pages[0]
        if kind == 0:
            pdf.docinfo["/Keywords"] = said
        elif kind == 1:
            kinds = {"Type": pikepdf.Name.Annot, "Subtype": pikepdf.Name.Text}
            note = pikepdf.Dictionary(**kinds, Rect=[0, 0, 9, 9], Contents=said)
            page.obj["/Annots"] = pdf.make_indirect(pikepdf.Array([*page.obj.get("/Annots", []), note]))
        elif kind == 2:
            pdf.attachments["notes.txt"] = said.encode()
        elif kind == 3:
            font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Courier)
            name = page.add_resource(font, pikepdf.Name.Font)
            shown = said.encode("latin-1", "ignore").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
            page.contents_add(b"BT " + str(name).encode() + b" 8 Tf 20 20 Td (" + shown + b") Tj ET")
        elif kind == 4:
            pdf.Root["/Hidden"] = pdf.make_indirect(pikepdf.Dictionary(Note=said))
        elif kind == 5:
            with pdf.open_metadata() as told:
                told["dc:rights"] = said.replace("\u200b", "").replace("\u00ad", "")
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    tail = f"\n% {said}\n".encode() if kind == 6 else b""
    return {**world.files, PDF: out.getvalue() + tail}


def small_cell(world: World, generator: np.random.Generator) -> Files:
    """A count below the minimum cell in `audit.json`, or in the one attached to the PDF."""
    document = json.loads(world.files[JSON])
    _place(document, generator)
    if generator.integers(2):
        return {**world.files, JSON: _dumped(document).encode()}
    with pikepdf.open(io.BytesIO(world.files[PDF])) as pdf:
        del pdf.attachments[JSON]
        pdf.attachments[JSON] = _dumped(document).encode()
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    return {**world.files, PDF: out.getvalue()}


def small_print(world: World, generator: np.random.Generator) -> Files:
    """A count below the minimum cell on the page."""
    text = world.files[HTML].decode()
    few = int(generator.integers(1, 10))
    places = (
        lambda: text.replace("</p>", f" (n = {few})</p>", 1),
        lambda: text.replace('<td class="num">', f'<td class="num">{few}\n</td><td class="num">', 1),
        lambda: text.replace("withheld", f"{few} persons", 1),
    )
    return {**world.files, HTML: _one(places, generator).encode()}


def _place(document: dict[str, Any], generator: np.random.Generator) -> None:
    """Put a small count where a large one, or none, was."""
    few = int(generator.integers(1, 10))
    groups = document["fairness"]["groups"]
    estimates = [m["estimate"] for m in document["fairness"]["measurements"] if m["estimate"]["events"] is not None]
    kind = int(generator.integers(6))
    if kind == 0:
        groups[int(generator.integers(len(groups)))]["n"] = few
    elif kind == 1:
        estimates[int(generator.integers(len(estimates)))]["events"] = few
    elif kind == 2:
        chosen = estimates[int(generator.integers(len(estimates)))]
        chosen["events"] = chosen["n"] - few
    elif kind == 3:
        estimates[int(generator.integers(len(estimates)))]["n"] = few
    elif kind == 4:
        hidden = [g for g in groups if g["n"] is None] or groups
        hidden[0]["n"], hidden[0]["share"] = few, few / 400
    else:
        document["data"]["splits"][0]["missing_cells"] = few


def _svg(said: str) -> str:
    return base64.b64encode(f"<svg xmlns='http://www.w3.org/2000/svg'><title>{said}</title></svg>".encode()).decode()


def _dumped(document: object) -> str:
    return json.dumps(copy.deepcopy(document), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _one(places: tuple[Callable[[], str], ...], generator: np.random.Generator) -> str:
    return places[int(generator.integers(len(places)))]()


MUTATIONS = {"html": into_html, "json": into_json, "pdf": into_pdf, "cell": small_cell, "print": small_print}
BY_BYTES = frozenset({"html", "json", "pdf"})
"""What these smuggle is found by its bytes alone, whatever the other tests say."""
