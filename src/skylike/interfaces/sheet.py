"""The contact sheet: one picture with the query first, framed, then the results with captions."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.errors import SettingsError
from skylike.file_formats import check_folder
from skylike.files import replaced_file

Picture = npt.NDArray[np.uint8]
Caption = str | Sequence[str]

PICTURE_FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Format of a contact sheet, by the extension of its file."""

_JPEG_QUALITY: Final = 92
"""High enough that the text below the pictures stays sharp."""

_TILE: Final = CUTOUT_SIZE_PIX
_GAP: Final = 14
_MARGIN: Final = 20
_FRAME: Final = 4
_TITLE_SIZE: Final = 20
_TITLE_LINE: Final = 27
_TITLE_LINES: Final = 4
_TEXT_SIZE: Final = 13
_CAPTION_LINES: Final = 2
_LINE: Final = 17
_BACKGROUND: Final = (20, 22, 26)
_TITLE_COLOR: Final = (240, 242, 245)
_TEXT_COLOR: Final = (200, 205, 212)
_QUERY_COLOR: Final = (255, 190, 60)
_EMPTY: Final = (70, 74, 80)
_MORE: Final = "..."


def make_sheet(
    images: Sequence[Picture | None],
    captions: Sequence[Caption],
    *,
    title: str,
    columns: int | None = None,
    queries: int = 1,
) -> Image.Image:
    """Arrange pictures and their captions on one sheet.

    Parameters
    ----------
    images
        The query first, then the results, best first: (h, w, 3) uint8, or None where there is none.
        Each is scaled to fit a square of 152 pixels.
    captions
        As many: lines of text, or one text with line breaks. A line too long for its tile is broken
        into two, and then cut.
    title
        What was asked; broken into as many lines as it needs, four at most.
    columns
        Tiles of results in a row; None chooses between 4 and 12, so that the sheet fits a screen.
    queries
        How many of the first images are the query; they are framed and stand in rows of their own.

    Raises
    ------
    ValueError
        There are no images, or not as many captions.
    """
    if not images or len(images) != len(captions):
        raise ValueError(f"{len(images)} images and {len(captions)} captions make no sheet")
    queries = min(queries, len(images))
    results = len(images) - queries
    across = columns or _columns(results)
    width = 2 * _MARGIN + across * _TILE + (across - 1) * _GAP
    lines = [_fitted(caption) for caption in captions]
    heading = _wrapped(title, _TITLE_SIZE, width - 2 * _MARGIN, most=_TITLE_LINES)
    row_height = _TILE + _FRAME + max(map(len, lines)) * _LINE + _GAP

    top = _MARGIN + len(heading) * _TITLE_LINE + _GAP
    corners = _corners(queries, across, top=top, row_height=row_height)
    divider = top + math.ceil(queries / across) * row_height
    corners += _corners(results, across, top=divider + _GAP, row_height=row_height)
    height = corners[-1][1] + row_height + _MARGIN
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(heading):
        place = (_MARGIN, _MARGIN + number * _TITLE_LINE)
        draw.text(place, line, font=_font(_TITLE_SIZE), fill=_TITLE_COLOR)
    if queries and results:
        draw.line([(_MARGIN, divider), (width - _MARGIN, divider)], fill=_EMPTY, width=1)
    for number, corner in enumerate(corners):
        color = _QUERY_COLOR if number < queries else None
        _draw_tile(sheet, images[number], lines[number], corner=corner, frame=color)
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet as PNG or JPEG, as the extension tells.

    Raises
    ------
    SettingsError
        The extension is none of :data:`PICTURE_FORMATS`, or the file cannot be written.
    """
    form = _picture_format(path)
    try:
        with replaced_file(path) as part:
            sheet.save(part, format=form, quality=_JPEG_QUALITY)  # which PNG does not have
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_sheet(path: Path) -> None:
    """Find out before a long search that a sheet could not be written.

    Raises
    ------
    SettingsError
        The extension is none of :data:`PICTURE_FORMATS`, or it is a folder, or in one that is not
        there.
    """
    _picture_format(path)
    check_folder(path)


def _picture_format(path: Path) -> str:
    form = PICTURE_FORMATS.get(path.suffix.lower())
    if form is None:
        raise SettingsError(
            f"{path}: the extension tells no format of pictures; use {', '.join(PICTURE_FORMATS)}"
        )
    return form


def _columns(results: int) -> int:
    # A few fit in one row; more make a sheet about 1.6 times as wide as high.
    return max(4, results) if results <= 6 else min(12, max(5, math.ceil(math.sqrt(1.6 * results))))


def _corners(count: int, across: int, *, top: int, row_height: int) -> list[tuple[int, int]]:
    return [
        (_MARGIN + (n % across) * (_TILE + _GAP), top + (n // across) * row_height)
        for n in range(count)
    ]


def _draw_tile(
    sheet: Image.Image,
    picture: Picture | None,
    lines: Sequence[str],
    *,
    corner: tuple[int, int],
    frame: tuple[int, int, int] | None,
) -> None:
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    box = (left, top, left + _TILE - 1, top + _TILE - 1)
    if frame is not None:
        outer = (box[0] - _FRAME, box[1] - _FRAME, box[2] + _FRAME, box[3] + _FRAME)
        draw.rectangle(outer, fill=frame)
    if picture is None:
        draw.rectangle(box, fill=_EMPTY)
        center = (left + _TILE / 2, top + _TILE / 2)
        draw.text(center, "no image", font=_font(_TEXT_SIZE), fill=_TEXT_COLOR, anchor="mm")
    else:
        draw.rectangle(box, fill=(0, 0, 0))
        scaled = _scaled(picture)
        sheet.paste(
            scaled, (left + (_TILE - scaled.width) // 2, top + (_TILE - scaled.height) // 2)
        )
    for number, line in enumerate(lines):
        place = (left, top + _TILE + _FRAME + 2 + number * _LINE)
        draw.text(place, line, font=_font(_TEXT_SIZE), fill=frame or _TEXT_COLOR)


def _scaled(picture: Picture) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8))
    factor = _TILE / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(caption: Caption) -> list[str]:
    lines = caption.splitlines() if isinstance(caption, str) else caption
    return [
        part for line in lines for part in _wrapped(line, _TEXT_SIZE, _TILE, most=_CAPTION_LINES)
    ]


def _cut(line: str, size: int, width: int) -> str:
    if _font(size).getlength(line) <= width:
        return line
    while line and _font(size).getlength(line + _MORE) > width:
        line = line[:-1]
    return line.rstrip() + _MORE


def _wrapped(text: str, size: int, width: int, *, most: int) -> list[str]:
    if _font(size).getlength(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_cut(line, size, width) for line in lines]
