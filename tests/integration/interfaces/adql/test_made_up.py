"""Queries put together at random: each runs, or is refused with one line."""

import random

import pytest
from sqlalchemy import Engine

from adql_factory import UPLOADS
from skylike.errors import AdqlError, DatabaseError
from skylike.interfaces.vo.adql import AdqlSchema, execute, translate

NUMBERS = ("g.ra", "g.dec", "g.mag_r", "g.galaxy_id", "g.maskbits", "m.id", "2", "0.5", "-3", "1e3")
TEXTS = ("g.type", "'PSF'", "'%'", "''")


class Writer:
    """Writes expressions that are mostly right."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def number(self, depth: int = 0) -> str:
        one = self.chance.choice
        if depth > 2 or self.chance.random() < 0.3:
            return one(NUMBERS)
        x, y = self.number(depth + 1), self.number(depth + 1)
        return one(
            [
                f"({x} {one('+-*/&|^')} {y})",
                f"{one(['ABS', 'SQRT', 'LOG', 'LOG10', 'EXP', 'ACOS', 'FLOOR', 'SIN'])}({x})",
                f"{one(['MOD', 'ATAN2', 'COALESCE', 'POWER', 'skylike_similarity'])}({x}, {y})",
                f"ROUND({x}, {one('0123')})",
                f"CAST({x} AS {one(['REAL', 'BIGINT', 'DOUBLE PRECISION'])})",
                f"DISTANCE({x}, g.dec, 10, {one(['5', 'm.DE'])})",
                f"CONTAINS(POINT(g.ra, g.dec), {self.shape()})",
                f"INTERSECTS(CIRCLE(g.ra, g.dec, 0.2), {self.shape()})",
                f"AREA({self.shape()})",
            ]
        )

    def shape(self) -> str:
        one = self.chance.choice
        return one(
            [
                f"CIRCLE(m.ra, m.DE, {one(['1', 'g.mag_r', '-2'])})",
                f"CIRCLE('ICRS', {one(['10', '350', '-10'])}, {one(['0', '90', '20'])}, 30)",
                "BOX(10, 20, 30, 40)",
                "POLYGON(0, 0, 20, 0, 20, 30)",
                "POINT(10, 20)",
            ]
        )

    def condition(self, depth: int = 0) -> str:
        one = self.chance.choice
        if depth < 2 and self.chance.random() < 0.4:
            return f"({self.condition(depth + 1)} {one(['AND', 'OR'])} {self.condition(depth + 1)})"
        return one(
            [
                f"{self.number(1)} {one(['<', '>=', '=', '<>'])} {self.number(1)}",
                f"NOT {self.number(1)} BETWEEN {self.number(2)} AND {self.number(2)}",
                f"{one(TEXTS)} {one(['LIKE', 'ILIKE', '=', 'NOT LIKE'])} {one(TEXTS)}",
                f"{self.number(2)} IN (1, 2.5, {self.number(2)})",
                f"{self.number(2)} IS NOT NULL",
                "EXISTS (SELECT 1 FROM skylike.embedding AS e"
                f" WHERE e.galaxy_id = {self.number(2)})",
            ]
        )

    def query(self) -> str:
        one = self.chance.choice
        key = one([self.number(), "2", "x DESC", "skylike_similarity(g.galaxy_id, 42) DESC"])
        join = one(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
        return (
            f"SELECT {one(['', 'DISTINCT '])}TOP 5 {self.number()} AS x, g.type, {self.number()}"
            f" FROM galaxy AS g {join} TAP_UPLOAD.mine AS m ON {self.condition(1)}"
            f" WHERE {self.condition()} ORDER BY {key}"
        )


@pytest.mark.parametrize("seed", range(4))
def test_query_when_made_up_runs_or_is_refused_with_a_line(
    reader: Engine, schema: AdqlSchema, seed: int
):
    writer = Writer(seed)
    ran, refused = 0, []
    for _ in range(40):
        adql = writer.query()
        try:
            translated = translate(adql, schema=schema, max_rows=5, uploads=UPLOADS)
            rows = execute(reader, translated, timeout_s=0.25)
            assert sum(batch.num_rows for batch in rows) <= 5
            ran += 1
        except (AdqlError, DatabaseError) as error:
            refused.append(f"{error}")
    assert ran > 5
    assert [said for said in refused if "\n" in said] == []
    # What the translator lets through is at least a statement.
    assert [said for said in refused if "syntax" in said or "does not exist" in said] == []
