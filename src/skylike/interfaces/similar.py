"""The galaxies that a search found, in Python."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from typing_extensions import override

from skylike.errors import ImageFileError, SettingsError
from skylike.interfaces.formats import write_result
from skylike.interfaces.notebook import html_table
from skylike.interfaces.provenance import plain_items, summary
from skylike.interfaces.rows import SHOWN, Rows
from skylike.interfaces.sheet import check_sheet, make_sheet, save_sheet
from skylike.interfaces.terminal import columns_for_people, table_text
from skylike.search.pictures import Tiles
from skylike.search.result import Provenance, SearchResult
from skylike.search.search import Answer


class Similar(Rows):
    """The galaxies most like a query, or the rarest, best first, with how they were found."""

    def __init__(self, answer: Answer, fetch_tiles: Callable[[Answer], Tiles]) -> None:
        self._answer, self._fetch_tiles = answer, fetch_tiles
        self._result = answer.result
        super().__init__(
            self._result.rows, self._result.meanings, plain_items(self._result.provenance)
        )

    @property
    def provenance(self) -> Provenance:
        """How the galaxies were found: enough to judge the answer, and to ask again."""
        return self._result.provenance

    @property
    def sql(self) -> str:
        """The statement that an analyst would type for the same answer."""
        return self.provenance.sql

    @property
    def matched(self) -> int:
        """Embedded galaxies that satisfied the cut and the cone."""
        return self.provenance.matched

    @property
    def exact(self) -> bool:
        """Whether this is provably the same answer as comparing every galaxy."""
        return self.provenance.exact

    @property
    def galaxy_ids(self) -> npt.NDArray[np.int32]:
        """The galaxies found, (n,) int32, best first."""
        return np.asarray(self["galaxy_id"], dtype=np.int32)

    @property
    def similarities(self) -> npt.NDArray[np.float64]:
        """Cosines of their embeddings with the query, (n,) float64; the rarest have none."""
        return np.asarray(self["similarity"], dtype=np.float64)

    def sheet(self, path: str | Path | None = None, *, columns: int | None = None) -> Image.Image:
        """Draw a contact sheet: the query first, framed, then the galaxies, 200 at most.

        Parameters
        ----------
        path
            A .png or .jpg file to write as well.
        columns
            Pictures in a row; None chooses.

        Raises
        ------
        SettingsError
            The file cannot be written, its extension is none of these, or there is no galaxy.
        ImageFileError
            A file of cutouts is gone or damaged.
        """
        if path is not None:
            check_sheet(Path(path))
        tiles = self._fetch_tiles(self._answer)
        if not tiles.images:
            raise SettingsError("no galaxy was found, so that there is nothing to draw")
        drawn = make_sheet(
            tiles.images,
            tiles.captions,
            title=tiles.title,
            columns=columns,
            queries=tiles.queries,
        )
        if path is not None:
            save_sheet(drawn, Path(path))
        return drawn

    def write(self, path: str | Path, *, format: str | None = None) -> Path:  # noqa: A002 - as on the command line
        """Write a file with units, UCDs, descriptions and provenance; return its path.

        Parameters
        ----------
        path
            The extension tells the format: .csv, .json, .fits, .vot, .parquet, .html or .txt, and
            more in :data:`skylike.file_formats.EXTENSIONS`; with .gz behind it, compressed.
        format
            ``csv``, ``json``, ``fits``, ``votable``, ``parquet``, ``html`` or ``table``, for a name
            without extension.

        Raises
        ------
        SettingsError
            There is no such format, the extension tells none or another one, or the file cannot be
            written.
        """
        path = Path(path)
        write_result(self._result, format=format, output=path)
        return path

    @override
    def __repr__(self) -> str:
        return table_text(self._first())

    def _first(self) -> SearchResult:
        return replace(self._result, rows=self._result.rows.slice(0, SHOWN))

    @override
    def _repr_html_(self) -> str:
        first = self._first()
        wanted = set(columns_for_people(first))
        names = [name for name in first.rows.column_names if name in wanted]
        try:
            tiles = self._fetch_tiles(replace(self._answer, result=first, examples=()))
            pictures = tiles.images
        except ImageFileError:
            pictures = []  # the table is right without them; sheet() says what is wrong
        return html_table(
            first.rows.select(names), self._meanings, lines=self._said(), pictures=pictures
        )

    @override
    def _said(self) -> list[str]:
        shown = [f"The first {SHOWN} are shown."] if len(self) > SHOWN else []
        return summary(self.provenance, found=len(self)) + shown
