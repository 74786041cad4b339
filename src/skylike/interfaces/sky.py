"""A skylike database in Python: searches, and all that :class:`Stored` reads."""

from typing import SupportsIndex

from sqlalchemy import Engine
from typing_extensions import Unpack

from skylike.interfaces import arguments
from skylike.interfaces.arguments import Definitions, Duration, Files, Galaxies, Vectors
from skylike.interfaces.asking import Asked, query_of
from skylike.interfaces.similar import Similar
from skylike.interfaces.sky_arguments import (
    Angle,
    Places,
    Region,
    Table,
    arcsec_of,
    cone_of,
)
from skylike.interfaces.stored import Stored
from skylike.search.batch import answer_each
from skylike.search.pictures import Tiles, fetch_tiles
from skylike.search.query import MIN_SEPARATION_ARCSEC, POSITION_LIMIT_ARCSEC
from skylike.search.rarest import RarestQuery, find_rarest
from skylike.search.search import Answer, answer


class Sky(Stored):
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
            A list of targets: a table file, a data frame or another table with columns such as
            ``ra`` and ``dec``, a SkyCoord of many, an (n, 2) array of degrees. Those without an
            embedded galaxy are left out, and the provenance says so.
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

    def rarest(
        self,
        *,
        where: str | None = None,
        cone: "Region | None" = None,
        k: SupportsIndex = 10,
        offset: SupportsIndex = 0,
        define: "Definitions | None" = None,
        min_separation: "Angle" = MIN_SEPARATION_ARCSEC,
        encoder: str | None = None,
        timeout: "Duration | None" = None,
    ) -> Similar:
        """Find the galaxies that are like no others, among those that meet a cut.

        They are ranked by ``rarity``: how far their neighbors are, compared with those of galaxies
        as bright, when the published neighbor lists were computed.

        Parameters
        ----------
        where, cone, k, offset, define, encoder, timeout
            As for :meth:`similar`.
        min_separation
            Galaxies nearer than this on the sky (arcsec) to a rarer one are dropped, 0 keeps all.

        Returns
        -------
        Similar
            With the columns of the view ``neighborhood`` in place of similarity and separation.

        Raises
        ------
        SkylikeError
            With one sentence: of an argument, or no neighbor lists are published.
        """
        found = find_rarest(
            self.engine,
            RarestQuery(
                where=where,
                cone=cone_of(cone),
                k=arguments.whole_number(k, name="k"),
                offset=arguments.whole_number(offset, name="offset"),
                min_separation=arcsec_of(min_separation),
                definitions=arguments.definitions_of(define) if define is not None else (),
            ),
            encoder=encoder,
            timeout_s=arguments.seconds_of(timeout),
        )
        return Similar(found, self._tiles)

    def _tiles(self, found: Answer) -> Tiles:
        return fetch_tiles(self.engine, found.examples, found.result)
