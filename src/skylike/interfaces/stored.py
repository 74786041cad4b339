"""What a skylike database holds, in Python: rows of any SELECT, galaxies, embeddings, images."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from skylike.embeddings.store import (
    EncoderRecord,
    fetch_encoders,
)
from skylike.errors import SettingsError
from skylike.interfaces import arguments, store
from skylike.interfaces.arguments import Definitions, Duration, Galaxies
from skylike.interfaces.connected import Connected
from skylike.interfaces.cutout import Cutout, read_cutout
from skylike.interfaces.neighbors import catalog_row, check_galaxy, neighbor_rows
from skylike.interfaces.rows import Rows
from skylike.interfaces.vectors import BATCH_ROWS, iter_in_cut, vectors_in_cut, vectors_of_galaxies
from skylike.search.store import fetch_cutouts, fetch_encoder_to_search
from skylike.search.store_vocabulary import fetch_vocabulary


class Stored(Connected):
    """A skylike database, read as it is: nothing here compares galaxies."""

    def query(
        self,
        statement: str,
        parameters: Mapping[str, object] | Sequence[object] | None = None,
        *,
        timeout: "Duration | None" = None,
    ) -> Rows:
        """Run one SELECT, with ``skylike`` and ``public`` on the search path.

        Parameters
        ----------
        statement
            SQL. Columns that come straight from a table or view keep their unit and description.
        parameters
            Values of the ``%(name)s`` (or ``%s``) in the statement; a plain ``%`` is then written
            ``%%``.

        Raises
        ------
        DatabaseError
            The server refuses it, in its own words.
        """
        with self._reading(arguments.seconds_of(timeout)) as connection:
            data, meanings = store.fetch_rows(connection, statement, parameters)
        return Rows(data, meanings, {"sql": statement} | _now())

    def galaxy(self, galaxy_id: SupportsIndex) -> dict[str, object]:
        """Return what the catalog knows of a galaxy, without columns that are NULL.

        Raises
        ------
        GalaxyNotFoundError
            There is none.
        """
        with self._reading() as connection:
            return catalog_row(connection, arguments.galaxy_id_of(galaxy_id))

    def neighbors(self, galaxy_id: SupportsIndex, *, k: SupportsIndex | None = None) -> Rows:
        """Return the neighbor list of a galaxy, computed ahead by the active encoder.

        Parameters
        ----------
        k
            How many; None is the whole list.

        Returns
        -------
        Rows
            rank, galaxy_id and similarity (float32) of the neighbors, most similar first, then
            their catalog columns.

        Raises
        ------
        GalaxyNotFoundError
            There is no such galaxy.
        NeighborRunNotFoundError, EmptyStageError
            No lists are published, or none of this galaxy.
        """
        number = arguments.galaxy_id_of(galaxy_id)
        limit = None if k is None else arguments.whole_number(k, name="k")
        with self._reading() as connection:
            data, meanings, provenance = neighbor_rows(connection, number, k=limit)
        return Rows(data, meanings, provenance | _now())

    def embedding(self, galaxy: Galaxies, *, encoder: str | None = None) -> npt.NDArray[np.float16]:
        """Return embeddings as they are stored: nearly of unit length, rounded to float16.

        Returns
        -------
        ndarray
            (n, d) float16 in the order given; (d,) for one galaxy that is not in a list.

        Raises
        ------
        GalaxyNotFoundError, CutoutNotFoundError, EmptyStageError
            A galaxy has none; the message names the first and says why.
        """
        wanted = np.array(arguments.galaxy_ids_of(galaxy), dtype=np.int32)
        with self._reading() as connection:
            record = fetch_encoder_to_search(connection, encoder)
            vectors = vectors_of_galaxies(connection, record, wanted)
        return vectors if arguments.is_several(galaxy) else vectors[0]

    def embeddings(
        self,
        where: str | None = None,
        *,
        define: Definitions | None = None,
        encoder: str | None = None,
        timeout: "Duration | None" = None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]:
        """Return all embeddings whose galaxies meet a cut.

        Parameters
        ----------
        where, define, encoder, timeout
            As for :meth:`similar`.

        Returns
        -------
        tuple
            ``galaxy_id`` (n,) int32, ascending, and embeddings (n, d) float16, nearly of unit
            length: 2 n d bytes of memory.
        """
        with self._reading(arguments.seconds_of(timeout)) as connection:
            record = fetch_encoder_to_search(connection, encoder)
            words = fetch_vocabulary(connection, arguments.definitions_of(define))
            return vectors_in_cut(connection, record, words, where=where)

    def iter_embeddings(
        self,
        where: str | None = None,
        *,
        batch_rows: SupportsIndex = BATCH_ROWS,
        define: Definitions | None = None,
        encoder: str | None = None,
        timeout: "Duration | None" = None,
    ) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
        """Stream what :meth:`embeddings` returns, in the order in which it is stored.

        Yields
        ------
        tuple
            ``galaxy_id`` (b,) and embeddings (b, d), b at most ``batch_rows``, of one moment.
        """
        rows = arguments.whole_number(batch_rows, name="batch_rows")
        if rows < 1:
            raise SettingsError(f"batch_rows={rows} gives no batch; use 1 or more")
        with self._reading(arguments.seconds_of(timeout)) as connection:
            record = fetch_encoder_to_search(connection, encoder)
            words = fetch_vocabulary(connection, arguments.definitions_of(define))
            yield from iter_in_cut(connection, record, words, where=where, batch_rows=rows)

    def cutout(self, galaxy_id: SupportsIndex) -> Cutout:
        """Return the image of a galaxy: the one that the active encoder embedded, if any.

        Raises
        ------
        GalaxyNotFoundError, CutoutNotFoundError
            There is no such galaxy, or it has no image.
        ImageFileError
            The file of cutouts is gone or damaged.
        """
        number = arguments.galaxy_id_of(galaxy_id)
        with self._reading() as connection:
            check_galaxy(connection, number)
            active = [record.name for record in fetch_encoders(connection) if record.is_active]
            index = fetch_cutouts(connection, galaxy_ids=[number], encoder="".join(active))
        return read_cutout(index, number)

    def encoders(self) -> list[EncoderRecord]:
        """Return the encoders in the order in which they were added."""
        with self._reading() as connection:
            return fetch_encoders(connection)


def _now() -> dict[str, str]:
    return {"version": version("skylike"), "time": datetime.now(UTC).isoformat()}
