"""The exceptions of skylike, all below one root.

The tree::

    SkylikeError
      SettingsError              a setting, option or argument is wrong
      DatabaseError
        DatabaseUnavailableError   no server answers, or it refuses us
        DatabaseVersionError       PostgreSQL or pgvector is missing or too old
        SchemaOutOfDateError       the tables are older or newer than this program
      InputFileError             a file cannot be read as what it should be
        SurveyFileError            a catalog table
        ImageFileError             a cutout, cube, brick or picture
      CutError                   an SQL cut is not allowed or not understood
      AdqlError                  an ADQL query is not allowed, not understood, or fails at a row
      CoordinateError            a sky position is not understood
      NotFoundError
        GalaxyNotFoundError
        CutoutNotFoundError
        EncoderNotFoundError
        NeighborRunNotFoundError
      EmptyStageError            a stage before this one has not been run
      CheckpointError            a checkpoint cannot be read, or fits another recipe
      TrainingError              training cannot go on (NaN loss, full disk)
      ConflictError              another job holds what this one needs
      ClusterError               a Dask cluster cannot be reached, or its workers do not survive

A message says what happened, to which thing, and what to do next, in one line.
"""

from dataclasses import dataclass
from typing import Final

from typing_extensions import override

SHOWN_LENGTH: Final = 200
"""Characters of a cut that an error message repeats at most."""

ADQL_SHOWN_LENGTH: Final = 30
"""Characters of an ADQL query that an error message repeats, from the place where it is wrong."""


class SkylikeError(Exception):
    """What skylike raises on purpose; the command line prints its message as one line."""


class SettingsError(SkylikeError):
    """A setting, option or argument is wrong."""


class DatabaseError(SkylikeError):
    """Something about the database that a user can put right."""


class DatabaseUnavailableError(DatabaseError):
    """No server answers at the given place, or it refuses the connection."""


class DatabaseVersionError(DatabaseError):
    """PostgreSQL or pgvector is missing or too old."""


class SchemaOutOfDateError(DatabaseError):
    """The tables are not at the revision that this program needs."""


class InputFileError(SkylikeError):
    """A file cannot be read as what it should be."""


class SurveyFileError(InputFileError):
    """A catalog table cannot be read, or lacks what it must have."""


class ImageFileError(InputFileError):
    """A cutout file, FITS cube, brick or picture cannot be read."""


@dataclass
class CutError(SkylikeError):
    """An SQL cut is not allowed or not understood.

    Attributes
    ----------
    reason
        What is wrong and what is allowed instead.
    cut
        The whole text as it was typed.
    position
        Offset of the offending character in ``cut``, or None when unknown.
    """

    reason: str
    cut: str
    position: int | None = None

    @override
    def __str__(self) -> str:
        if self.position is None:
            return f"{self.reason} (in the cut {self._excerpt()!r})"
        place = f"character {self.position + 1} of the cut"
        if len(self.cut) > SHOWN_LENGTH:
            place += ", marked >>>,"
        return f"{self.reason} ({place} {self._excerpt()!r})"

    def _excerpt(self) -> str:
        """Return the cut as it is shown: of a long one what is around the marked place."""
        if len(self.cut) <= SHOWN_LENGTH:
            return self.cut
        place = self.position or 0
        start = max(0, min(place - SHOWN_LENGTH // 2, len(self.cut) - SHOWN_LENGTH))
        end = start + SHOWN_LENGTH
        mark = "" if self.position is None else ">>>"
        shown = f"{self.cut[start:place]}{mark}{self.cut[place:end]}"
        return f"{'...' if start else ''}{shown}{'...' if end < len(self.cut) else ''}"


@dataclass
class AdqlError(SkylikeError):
    """An ADQL query is not allowed or not understood, or the server cannot run it.

    Attributes
    ----------
    reason
        What is wrong and what is allowed instead.
    query
        The whole text as it was typed.
    position
        Offset of the offending character in ``query``, or None when unknown.
    """

    reason: str
    query: str
    position: int | None = None

    @override
    def __str__(self) -> str:
        if self.position is None:
            return self.reason
        before = self.query[: self.position]
        line, column = before.count("\n") + 1, self.position - (before.rfind("\n") + 1) + 1
        shown = " ".join(self.query[self.position : self.position + ADQL_SHOWN_LENGTH].split())
        return f"{self.reason} (line {line}, column {column}, at {shown!r})"


class CoordinateError(SkylikeError):
    """A sky position, angle or region is not understood or impossible."""


class NotFoundError(SkylikeError):
    """A named thing does not exist."""


class GalaxyNotFoundError(NotFoundError):
    """No galaxy has this identifier, or none lies near this position."""


class CutoutNotFoundError(NotFoundError):
    """A galaxy has no cutout that the encoder could use."""


class EncoderNotFoundError(NotFoundError):
    """No encoder has this name, or none is active."""


class NeighborRunNotFoundError(NotFoundError):
    """No such neighbor run, or none is published."""


class EmptyStageError(SkylikeError):
    """A stage before this one has not been run; the message names its command."""


class CheckpointError(SkylikeError):
    """A checkpoint cannot be read, or fits another recipe."""


class TrainingError(SkylikeError):
    """Training cannot go on; the message says where the last checkpoint is."""


class ConflictError(SkylikeError):
    """Another running job holds what this one needs."""


class ClusterError(SkylikeError):
    """A Dask cluster cannot be reached, or its workers do not survive what they are given."""
