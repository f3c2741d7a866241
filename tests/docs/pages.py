"""The pages that people read, and what stands in them: code blocks, links, paths."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "k8s/README.md", "benchmarks/README.md")),
    *sorted((ROOT / "charts").glob("*/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

LOG = ROOT / "docs" / "log.md"
"""It says what was so on a day, with the names of that day."""


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


_BLOCK = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[Block]:
    """Every code block in one of these languages."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"])
        for page in PAGES
        for text in [page.read_text()]
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", page.read_text())
