"""The contact sheet: the pairs that the filter likes best and least, to be looked at."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from datascaler.data.pool.images import open_image
from datascaler.demo.charts import INK, KIND_COLOURS, MUTED
from datascaler.demo.pairs import PairKind

WIDTH = 1000
_COLUMNS = 8
_MARGIN = 20
_GAP = 10
_CELL = (WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) // _COLUMNS
_TEXT_LINES = 3
_LINE = 15
_CELL_HEIGHT = _CELL + 8 + (_TEXT_LINES + 1) * _LINE + 12
_TITLE = 44

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class ScoredPair:
    image_bytes: bytes
    caption: str
    kind: PairKind
    score: float


def contact_sheet(best: Sequence[ScoredPair], worst: Sequence[ScoredPair]) -> bytes:
    """Two titled blocks of pictures, each with its score, its caption and a frame in the colour of its true kind."""
    blocks = (("Highest scores", best), ("Lowest scores", worst))
    legend = 34
    height = _MARGIN + sum(_block_height(pairs) for _, pairs in blocks) + legend
    sheet = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(sheet)
    top = _MARGIN
    for title, pairs in blocks:
        pen.text((_MARGIN, top), title, fill=INK, font=ImageFont.load_default(24))
        for i, pair in enumerate(pairs):
            x = _MARGIN + (i % _COLUMNS) * (_CELL + _GAP)
            _draw_cell(sheet, pen, pair, x, top + _TITLE + (i // _COLUMNS) * _CELL_HEIGHT)
        top += _block_height(pairs)
    _draw_legend(pen, top)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _block_height(pairs: Sequence[ScoredPair]) -> int:
    return _TITLE + -(-len(pairs) // _COLUMNS) * _CELL_HEIGHT


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, pair: ScoredPair, x: int, y: int) -> None:
    frame = 4
    colour = KIND_COLOURS[pair.kind]
    pen.rounded_rectangle([x, y, x + _CELL - 1, y + _CELL - 1], radius=6, fill=colour)
    inner = _CELL - 2 * frame
    picture = _decoded(pair.image_bytes, inner)
    if picture is None:
        pen.rectangle([x + frame, y + frame, x + frame + inner - 1, y + frame + inner - 1], fill="#f1f2f4")
        pen.text((x + _CELL / 2, y + _CELL / 2), "no picture", fill=MUTED, font=ImageFont.load_default(13), anchor="mm")
    else:
        sheet.paste(picture, (x + frame, y + frame))
    font = ImageFont.load_default(13)
    y += _CELL + 8
    pen.text((x, y), f"{pair.score:.3f}", fill=INK, font=ImageFont.load_default(14))
    for line in _wrapped(pen, pair.caption, font):
        y += _LINE
        pen.text((x, y), line, fill=MUTED, font=font)


def _draw_legend(pen: ImageDraw.ImageDraw, y: int) -> None:
    font = ImageFont.load_default(14)
    x = float(_MARGIN)
    for kind, colour in KIND_COLOURS.items():
        pen.rounded_rectangle([x, y, x + 14, y + 14], radius=3, fill=colour)
        pen.text((x + 20, y - 1), kind, fill=INK, font=font)
        x += 20 + pen.textlength(kind, font=font) + 22


def _decoded(image_bytes: bytes, side: int) -> Image.Image | None:
    try:
        with open_image(image_bytes) as picture:
            return picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    except OSError:
        return None


def _wrapped(pen: ImageDraw.ImageDraw, text: str, font: Font) -> list[str]:
    """The text in at most three lines of the cell's width; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font=font) <= _CELL:
            lines[-1] = longer
        elif not lines[-1]:
            lines[-1] = _cut(pen, word, font)
        else:
            lines.append(word if pen.textlength(word, font=font) <= _CELL else _cut(pen, word, font))
    if len(lines) > _TEXT_LINES:
        lines = [*lines[: _TEXT_LINES - 1], _cut(pen, " ".join(lines[_TEXT_LINES - 1 :]), font)]
    return lines


def _cut(pen: ImageDraw.ImageDraw, text: str, font: Font) -> str:
    while text and pen.textlength(f"{text}…", font=font) > _CELL:
        text = text[:-1].rstrip()
    return f"{text}…"
