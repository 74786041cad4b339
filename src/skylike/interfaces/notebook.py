"""Rows as a notebook shows them: a table of the columns that people read, with small pictures."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from skylike.database.comments import ColumnMeaning
from skylike.interfaces.dataframe import UNKNOWN

THUMBNAIL_PIX: Final = 72
"""Side of a small picture: a row stays as high as three lines of text."""

_QUALITY: Final = 85

_FORMATS: Final = {"similarity": ".4f", "ra": ".5f", "dec": "+.5f", "z_phot": ".3f"}
_DIGITS: Final = 7

Picture = npt.NDArray[np.uint8]


def html_table(
    rows: pa.Table,
    meanings: Mapping[str, ColumnMeaning],
    *,
    lines: Sequence[str],
    pictures: Sequence[Picture | None] = (),
) -> str:
    """Write rows as an HTML table that needs no style sheet and no script.

    Parameters
    ----------
    lines
        What is said below the table.
    pictures
        (h, w, 3) uint8, one for each row, as a first column; or none at all.
    """
    heads = [_head(name, meanings.get(name, UNKNOWN)) for name in rows.column_names]
    columns = [_cells(name, rows[name]) for name in rows.column_names]
    if pictures:
        heads.insert(0, "<th></th>")
        columns.insert(0, [_thumbnail(picture) for picture in pictures])
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    said = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return (
        f'<div style="overflow-x: auto"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{said}"
    )


def _head(name: str, meaning: ColumnMeaning) -> str:
    unit = f"<br><small>{html.escape(meaning.unit)}</small>" if meaning.unit else ""
    return f'<th title="{html.escape(meaning.description)}">{html.escape(name)}{unit}</th>'


def _cells(name: str, column: pa.ChunkedArray) -> list[str]:
    form = _FORMATS.get(name, f".{_DIGITS}g") if pa.types.is_floating(column.type) else ""
    is_number = form or pa.types.is_integer(column.type)
    opening = f'<td style="text-align: {"right" if is_number else "left"}">'
    return [f"{opening}{_shown(value, form)}</td>" for value in column.to_pylist()]


def _shown(value: object, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and len(value) > 4:
        first = ", ".join(
            f"{entry:.3g}" if isinstance(entry, float) else str(entry) for entry in value[:3]
        )
        return html.escape(f"[{first}, ... {len(value)}]")
    return html.escape(format(value, form) if form else str(value))


def _thumbnail(picture: Picture | None) -> str:
    if picture is None:
        return "<td>no image</td>"
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((THUMBNAIL_PIX, THUMBNAIL_PIX))
    sink = io.BytesIO()
    image.save(sink, format="JPEG", quality=_QUALITY)
    content = base64.b64encode(sink.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<td><img {size} alt="" src="data:image/jpeg;base64,{content}"></td>'
