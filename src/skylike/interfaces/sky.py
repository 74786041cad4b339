"""A skylike database in Python: searches, statements, embeddings, images."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine
from typing_extensions import Unpack

from skylike.embeddings.store import (
    EncoderRecord,
    fetch_active_encoder,
    fetch_encoder,
    fetch_encoders,
)
from skylike.errors import SettingsError
from skylike.interfaces import arguments, store
from skylike.interfaces.arguments import (
    Angle,
    Definitions,
    Duration,
    Files,
    Galaxies,
    Places,
    Region,
    Table,
    Vectors,
)
from skylike.interfaces.asking import Asked, query_of
from skylike.interfaces.connected import Connected
from skylike.interfaces.cutout import Cutout, read_cutout
from skylike.interfaces.neighbors import catalog_row, neighbor_rows
from skylike.interfaces.rows import Rows
from skylike.interfaces.similar import Similar
from skylike.interfaces.vectors import BATCH_ROWS, iter_in_cut, vectors_in_cut, vectors_of_galaxies
from skylike.search.batch import answer_each
from skylike.search.pictures import Tiles, fetch_tiles
from skylike.search.query import MIN_SEPARATION_ARCSEC, POSITION_LIMIT_ARCSEC
from skylike.search.search import Answer, answer
from skylike.search.store import check_filled, fetch_cutouts
from skylike.search.store_vocabulary import fetch_vocabulary


class Sky(Connected):
    """A skylike database: what :func:`skylike.connect` returns.

    It may be used by many threads at once; each call takes a connection of its own out of a pool of
    15. A ``with`` block, :meth:`close` or the end of the program closes them. It only reads.

    Parameters
    ----------
    engine
        Made by :func:`skylike.database.engine.make_engine`; disposed of when this is closed.
    device
        Where picture files are embedded: auto, cpu, cuda or cuda:N.
    """

    def __init__(self, engine: Engine, *, device: str = "auto") -> None:
        super().__init__(engine)
        self._device = device

    def similar(  # noqa: PLR0913 - the parts of a query, each of its own name, as on the command line
        self,
        galaxy: "Galaxies | None" = None,
        *,
        position: "Places | None" = None,
        positions: "Table | None" = None,
        image: "Files | None" = None,
        vector: "Vectors | None" = None,
        reject: "Galaxies | None" = None,
        where: str | None = None,
        cone: "Region | None" = None,
        k: SupportsIndex = 10,
        offset: SupportsIndex = 0,
        define: "Definitions | None" = None,
        least_similar: bool = False,
        fast: bool = False,
        min_separation: "Angle" = MIN_SEPARATION_ARCSEC,
        position_limit: "Angle" = POSITION_LIMIT_ARCSEC,
        invert_pictures: bool = False,
        encoder: str | None = None,
        timeout: "Duration | None" = None,
    ) -> Similar:
        """Find the galaxies most like some examples, among those that meet a cut.

        Examples are galaxies, positions, images and vectors, one or several of each; several are
        combined. No example is among the results.

        Parameters
        ----------
        galaxy
            ``galaxy_id`` of an example, or several in a list, an array or a column.
        position
            Stands for the nearest embedded galaxy: ``"13:29:52 +47:11:43"``, ``(202.47, 47.2)``
            in degrees, a SkyCoord; or several.
        positions
            A list of targets: a table file, a SkyCoord of many, an (n, 2) array of degrees. Those
            without an embedded galaxy are left out, and the provenance says so.
        image
            A FITS, HDF5, JPEG or PNG file, or several.
        vector
            (d,) or (n, d) numbers as the encoder gives, or a NumPy file of them.
        reject
            Galaxies that the answer should be unlike.
        where
            A cut: ``"mag_r < 18 AND mag_g - mag_r < 0.6"``; see ``docs/cuts.md``.
        cone
            ``("13:29:52 +47:11:43", "10 deg")``, (SkyCoord, Quantity), (ra, dec, radius) in
            degrees, or one text ``"RA DEC RADIUS"``.
        k
            How many galaxies.
        offset
            Leave out so many of the best: the next page of the same query.
        define
            Columns for the cut of this query: ``{"g_r": "mag_g - mag_r"}``.
        least_similar
            The least similar instead.
        fast
            Accept an approximate answer where it is faster; ``exact`` of the result says.
        min_separation
            Results nearer than this on the sky (arcsec) to the query or to a better result are
            dropped, 0 keeps all.
        position_limit
            How far (arcsec) from a position its galaxy may lie.
        invert_pictures
            Let an encoder of fluxes take color pictures, approximately.
        encoder
            Its name; None is the active one.
        timeout
            Seconds that one statement may take; None leaves it to the server.

        Raises
        ------
        SkylikeError
            With one sentence: of an argument, of what it names, or of a stage that has not been
            run.
        """
        asked = Asked(
            galaxy=galaxy,
            position=position,
            positions=positions,
            image=image,
            vector=vector,
            reject=reject,
            where=where,
            cone=cone,
            k=k,
            offset=offset,
            define=define,
            least_similar=least_similar,
            fast=fast,
            min_separation=min_separation,
            position_limit=position_limit,
            invert_pictures=invert_pictures,
        )
        found = answer(
            self.engine,
            query_of(asked),
            encoder=encoder,
            device=self._device,
            timeout_s=arguments.seconds_of(timeout),
        )
        return Similar(found, self._tiles)

    def similar_each(
        self,
        *,
        encoder: str | None = None,
        timeout: "Duration | None" = None,
        **asked: Unpack[Asked],
    ) -> Similar:
        """Answer for each example by itself, with the same cut, cone, rejects and ``k``.

        Parameters
        ----------
        encoder, timeout, **asked
            As for :meth:`similar`, all by name.

        Returns
        -------
        Similar
            The rows of all answers, one example after the other: the columns ``query`` (from 1)
            and ``query_label`` say whose a row is, and ``rank`` begins anew with each.

        Raises
        ------
        SkylikeError
            As :meth:`similar`, or a million rows would not hold the answers.
        """
        found = answer_each(
            self.engine,
            query_of(asked),
            encoder=encoder,
            device=self._device,
            timeout_s=arguments.seconds_of(timeout),
        )
        examples = tuple(example for each in found.answers for example in each.examples)
        return Similar(Answer(found.result, examples, None), self._tiles)

    def _tiles(self, found: Answer) -> Tiles:
        return fetch_tiles(self.engine, found.examples, found.result)

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
            record = _encoder(connection, encoder)
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
            record = _encoder(connection, encoder)
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
            record = _encoder(connection, encoder)
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
            catalog_row(connection, number)
            active = [record.name for record in fetch_encoders(connection) if record.is_active]
            index = fetch_cutouts(connection, galaxy_ids=[number], encoder="".join(active))
        return read_cutout(index, number)

    def encoders(self) -> list[EncoderRecord]:
        """Return the encoders in the order in which they were added."""
        with self._reading() as connection:
            return fetch_encoders(connection)


def _encoder(connection: Connection, name: str | None) -> EncoderRecord:
    record = fetch_active_encoder(connection) if name is None else fetch_encoder(connection, name)
    check_filled(connection, encoder_id=record.encoder_id, encoder=record.name)
    return record


def _now() -> dict[str, str]:
    return {"version": version("skylike"), "time": datetime.now(UTC).isoformat()}
