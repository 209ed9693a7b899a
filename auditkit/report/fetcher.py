"""The locked door of the PDF build: what a document may load is what it already carries, and the bundled fonts.

WeasyPrint asks a fetcher for every address in the document and its styles. This one answers `data:` addresses and
files below given folders; every other address is refused and remembered, since WeasyPrint swallows some refusals
(an image nested in an SVG) and the build must still fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from weasyprint.urls import URLFetcher, URLFetcherResponse


class LockedFetcher(URLFetcher):  # type: ignore[misc] # weasyprint ships no types
    """Loads `data:` addresses and files below `folders`; keeps a list of what it refused.

    Raises (from `fetch`): ValueError, which WeasyPrint turns into a missing resource; look at `refused` afterwards.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        super().__init__(allowed_protocols=("data", "file"), allow_redirects=False, fail_on_errors=True)
        self.folders = tuple(folder.resolve() for folder in folders)
        self.refused: list[str] = []

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> URLFetcherResponse:
        """Answer an allowed address; refuse and remember any other."""
        if not self.allows(url):
            self.refused.append(url[:200])
            message = f"address refused: {url[:200]}"
            raise ValueError(message)
        return super().fetch(url, headers)

    def allows(self, url: str) -> bool:
        """Whether an address is `data:` or a file that lies, links resolved, below an allowed folder."""
        parts = urlsplit(url)
        if parts.scheme.lower() == "data":
            return True
        if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
            return False
        path = Path(unquote(parts.path)).resolve()
        return any(path.is_relative_to(folder) for folder in self.folders)
