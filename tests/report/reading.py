"""A written page, read back."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image as Pillow


class Page(HTMLParser):
    """What a written page holds."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.html = path, path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All words, each run of white space one space."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def values(self, *names: str) -> list[str]:
        """Return the values of some attributes, wherever they stand."""
        return [attrs[name] for _, attrs in self.elements for name in names if name in attrs]

    def pictures(self) -> list[np.ndarray]:
        """Decode every picture in the page."""
        uris = [uri for uri in self.values("src", "href") if uri.startswith("data:image/webp;base64,")]
        return [np.asarray(Pillow.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))) for uri in uris]

    def assert_stands_alone(self) -> None:
        """Fail if the page needs a script, another file or the network to be shown."""
        tags = {tag for tag, _ in self.elements}
        assert not tags & {"script", "link", "iframe", "object", "embed"}
        assert all(uri.startswith("data:") for uri in self.values("src"))
        assert not [uri for uri in self.values("href", "xlink:href") if re.match(r"(https?:)?//", uri)]
        assert "url(" not in self.html and "@import" not in self.html

    def assert_accessible(self) -> None:
        """Fail if a picture has no words, or an identifier stands twice."""
        assert all(attrs.get("alt") for tag, attrs in self.elements if tag == "img")
        assert all(attrs.get("aria-label") for tag, attrs in self.elements if tag == "svg")
        identifiers = self.values("id")
        assert len(identifiers) == len(set(identifiers))
