"""ADQL 2.1, the query language of the Virtual Observatory, for PostgreSQL.

A query is parsed, and a new statement is made of what was understood: of tables and columns that
are offered, functions that are listed, and numbers. Texts become parameters. Nothing that was typed
reaches the server otherwise.
"""

from skylike.errors import AdqlError
from skylike.interfaces.vo.adql.features import FEATURES, USER_FUNCTIONS
from skylike.interfaces.vo.adql.schema import (
    AdqlColumn,
    AdqlSchema,
    AdqlTable,
    Datatype,
    OutputColumn,
    SimilarityRewrite,
    Translated,
    UploadedTable,
)
from skylike.interfaces.vo.adql.store_execute import ResultRows, execute
from skylike.interfaces.vo.adql.store_schema import read_schema
from skylike.interfaces.vo.adql.translate import translate

__all__ = [
    "FEATURES",
    "USER_FUNCTIONS",
    "AdqlColumn",
    "AdqlError",
    "AdqlSchema",
    "AdqlTable",
    "Datatype",
    "OutputColumn",
    "ResultRows",
    "SimilarityRewrite",
    "Translated",
    "UploadedTable",
    "execute",
    "read_schema",
    "translate",
]
