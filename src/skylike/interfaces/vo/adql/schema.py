"""What ADQL may name, and what a translated query is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from skylike.cuts.coordinates import Cone

TAP_UPLOAD: Final = "TAP_UPLOAD"
"""Schema of tables that came with the query (TAP 1.1, section 2.5)."""


GALAXIES: Final = frozenset({"skylike.galaxy", "skylike.topcat_galaxy"})
"""Tables with one row for each galaxy, whose columns mean what those of cuts mean."""


@dataclass(frozen=True)
class Datatype:
    """A type as VOTable writes it.

    Attributes
    ----------
    votable
        ``boolean``, ``short``, ``int``, ``long``, ``float``, ``double`` or ``char``.
    arraysize
        None for one value, ``"*"`` for any number, ``"512"`` for a fixed one.
    xtype
        ``timestamp``, ``point``, ``circle``, ``polygon`` (DALI 1.1, section 3.3) or None.
    """

    votable: str
    arraysize: str | None = None
    xtype: str | None = None


BOOLEAN: Final = Datatype("boolean")
SHORT: Final = Datatype("short")
INT: Final = Datatype("int")
LONG: Final = Datatype("long")
FLOAT: Final = Datatype("float")
DOUBLE: Final = Datatype("double")
TEXT: Final = Datatype("char", "*")
TIMESTAMP: Final = Datatype("char", "*", "timestamp")
POINT: Final = Datatype("double", "2", "point")
CIRCLE: Final = Datatype("double", "3", "circle")
POLYGON: Final = Datatype("double", "*", "polygon")

WHOLE: Final = (SHORT, INT, LONG)
"""Types of whole numbers, the narrowest first."""

NUMBERS: Final = (*WHOLE, FLOAT, DOUBLE)
"""Types of numbers, the narrowest first."""


@dataclass(frozen=True)
class AdqlColumn:
    """A column that a query may name.

    Attributes
    ----------
    name
        In ADQL.
    datatype
        Of one value.
    unit, ucd, description
        As in :class:`skylike.database.comments.ColumnMeaning`.
    sql_name
        In PostgreSQL, where it is not ``name``.
    is_indexed
        Does an index begin with it? Positions of such a table are looked up, not those of another.
    """

    name: str
    datatype: Datatype
    unit: str | None = None
    ucd: str = ""
    description: str = ""
    sql_name: str | None = None
    is_indexed: bool = False


@dataclass(frozen=True)
class AdqlTable:
    """A table that a query may name.

    Attributes
    ----------
    schema, name
        In ADQL.
    relation
        Schema and name in PostgreSQL.
    columns
        In their order.
    encoder_id
        Of a table of all encoders, the one whose rows are offered; None offers every row.
    """

    schema: str
    name: str
    relation: tuple[str, str]
    columns: tuple[AdqlColumn, ...]
    description: str = ""
    encoder_id: int | None = None

    @property
    def full_name(self) -> str:
        """Schema and name, as TAP_SCHEMA writes them."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class UploadedTable:
    """A table that came with the query: ``TAP_UPLOAD.name``.

    Attributes
    ----------
    relation
        Schema and name of the PostgreSQL table that holds it.
    columns
        ``sql_name`` of each says where it is in that table.
    """

    relation: tuple[str, str]
    columns: tuple[AdqlColumn, ...]
    description: str = ""


@dataclass(frozen=True)
class AdqlSchema:
    """The tables that queries may name."""

    tables: tuple[AdqlTable, ...]

    def with_uploads(self, uploads: Mapping[str, UploadedTable]) -> "AdqlSchema":
        """Add tables that came with a query, by their names."""
        added = [
            AdqlTable(TAP_UPLOAD, name, table.relation, table.columns, table.description)
            for name, table in uploads.items()
        ]
        return AdqlSchema((*self.tables, *added))


@dataclass(frozen=True)
class OutputColumn:
    """A column of a result.

    Attributes
    ----------
    name
        As the query calls it; unique in the result, whatever its case.
    table, column
        Where it comes from unchanged (``skylike.galaxy``, ``ra``), else None.
    unit, ucd, description
        As in :class:`AdqlColumn`.
    datatype
        Of one value.
    """

    name: str
    table: str | None
    column: str | None
    unit: str | None
    ucd: str
    description: str
    datatype: Datatype


@dataclass(frozen=True)
class SimilarityRewrite:
    """The composite search that a query asks for.

    Attributes
    ----------
    galaxy_id
        The example.
    least_similar
        Is the order that of rising similarity?
    where
        The cut, in the language of ``docs/cuts.md``, or None.
    cone
        A circle that all results lie in, or None.
    k, offset
        How many results, and how many of the best to leave out.
    """

    galaxy_id: int
    least_similar: bool
    where: str | None
    cone: Cone | None
    k: int
    offset: int


@dataclass(frozen=True)
class Translated:
    """A query that was understood, ready to run.

    Attributes
    ----------
    sql
        One SELECT for psycopg, with parameters as ``%(name)s``. With ``similarity`` it takes two
        more, ``found_ids`` and ``found_similarities``: what the search found, in its order.
    parameters
        Every text of the query.
    columns
        Of the result, in order.
    similarity
        The search to do first, or None.
    max_rows
        Most rows to hand out; the statement gives one more where there are more.
    """

    sql: str
    parameters: Mapping[str, object]
    columns: tuple[OutputColumn, ...]
    similarity: SimilarityRewrite | None
    max_rows: int = field(default=0)
