"""Cuts, positions and cones that are refused: the answer names the place or says what to write."""

from pathlib import Path

from bad_input.case import BadInput


def _table(folder: Path) -> None:
    (folder / "stars.csv").write_text("ra,dec,class,mag_r\n10.5,20.5,GALAXY,18.2\n")


def _export(where: str) -> tuple[str, ...]:
    return ("catalog", "export", "--output", "{folder}/galaxies.csv", "--where", where)


def _load(where: str) -> tuple[str, ...]:
    return ("catalog", "load", "{folder}/stars.csv", "--where", where)


def _define(definition: str, *options: str) -> tuple[str, ...]:
    return ("catalog", "define", definition, *options)


CASES = [
    BadInput("cut: empty", _export(" "), r"the cut is empty; write a condition"),
    BadInput(
        "cut: comment",
        _export("mag_r < 18 -- bright"),
        r"-- begins a comment, and a cut has none \(character 12 of the cut",
    ),
    BadInput(
        "cut: subquery",
        _export("galaxy_id IN (SELECT 1)"),
        r"SELECT is not allowed in a cut.*\(character 15 of the cut",
    ),
    BadInput(
        "cut: function of the server",
        _export("pg_sleep(100) IS NULL"),
        r"there is no function pg_sleep; .*\(character 1 of the cut",
    ),
    BadInput("cut: cast", _export("mag_r::text = '18'"), r":: is not allowed in a cut"),
    BadInput("cut: parameter", _export("mag_r < $1"), r"\$ is not allowed in a cut"),
    BadInput(
        "cut: text with a number",
        _export("mag_r < 'bright'"),
        r"number column mag_r cannot be compared with the text 'bright'",
    ),
    BadInput("cut: double quotes", _export('type = "SER"'), r"a text goes between single quotes"),
    BadInput("cut: no condition", _export("mag_g - mag_r"), r"is a number, not a condition"),
    BadInput("cut: NULL compared", _export("mag_r = NULL"), r"only in IS NULL|IS NOT NULL"),
    BadInput("cut: open parenthesis", _export("(mag_r < 18"), r"a closing parenthesis is missing"),
    BadInput("cut: open quote", _export("type = 'SER"), r"the quote ' is never closed"),
    BadInput("cut: number out of range", _export("mag_r < 1e999"), r"1e999 is out of range"),
    BadInput("cut: very deep", _export("(" * 5_000 + "1=1" + ")" * 5_000), r"nested too deeply"),
    BadInput("cut: very long", _export("mag_r < 1 OR " * 5_000 + "1=1"), r"characters; at most"),
    BadInput(
        "cut: cone off the sky",
        _export("in_cone(ra, dec, 150, 95, 1)"),
        r"declination 95 is not within -90 to \+90",
    ),
    BadInput(
        "cut: box upside down",
        _export("in_box('150 3', '151 2')"),
        r"the box has no declination: from 3 to 2 deg",
    ),
    BadInput(
        "cut: polygon that crosses itself",
        _export("in_polygon('0 0', '1 1', '1 0', '0 1')"),
        r"the polygon touches or crosses itself: its edges from vertex 1 to 2 and 3 to 4",
    ),
    BadInput(
        "cut: polygon of two vertices",
        _export("in_polygon(0, 0, 1, 1)"),
        r"a polygon has 3 to 250 different vertices, not 2 \(character 1",
    ),
    BadInput(
        "cut: vertex off the sky",
        _export("in_polygon('0 0', '1 0', '0 91')"),
        r"declination 91 is not within .*\(character 26",
    ),
    BadInput(
        "cut: label that is none",
        _export("has_label('Ring!')"),
        r"the name of a label is a small letter.*\(character 11",
    ),
    BadInput(
        "cut at load: label",
        _load("has_label('ring')"),
        r"has_label serves in the catalog only; files have no labels",
        prepare=_table,
    ),
    BadInput(
        "define: no definition",
        _define("g_r"),
        r"a definition is a name, = and an expression",
    ),
    BadInput("define: name of a column", _define("mag_r = mag_g"), r"mag_r is a column of the"),
    BadInput("define: SQL word", _define("table = mag_g"), r"table is an SQL word; take another"),
    BadInput(
        "define: unknown column",
        _define("g_r = mag_g - mag_rr"),
        r"there is no column mag_rr; did you mean mag_r .*\(character 15",
    ),
    BadInput("define: uses itself", _define("g_r = g_r + 1"), r"there is no column g_r"),
    BadInput(
        "define: unit",
        _define("g_r = mag_g - mag_r", "--unit", "magg"),
        r"the unit 'magg' is not understood",
    ),
    BadInput(
        "define: drop what is not there",
        ("catalog", "define", "--drop", "g_r"),
        r"there is no derived column 'g_r'; none is defined",
    ),
    BadInput(
        "define: nothing", ("catalog", "define"), r"either 'NAME = EXPRESSION'", exit_status=2
    ),
    BadInput(
        "define: both",
        _define("a = mag_g", "--drop", "b"),
        r"either 'NAME = EXPRESSION'",
        exit_status=2,
    ),
    BadInput(
        "cut at load: unknown column",
        _load("clas = 'GALAXY'"),
        r"there is no column clas; did you mean class",
        prepare=_table,
    ),
    BadInput(
        "cut at load: statement",
        _load("class = 'GALAXY'; DROP TABLE galaxy"),
        r"; is not allowed in a cut: a cut is one condition",
        prepare=_table,
    ),
    BadInput(
        "position: 60 minutes",
        ("search", "--position", "12:60:00 10:00:00"),
        r"12:60:00 has hours, minutes or seconds out of range",
    ),
    BadInput(
        "position: two notations",
        ("search", "--position", "13h29m +47:11:43"),
        r"two notations",
    ),
    BadInput(
        "position: off the Galaxy",
        ("search", "--position", "l=400 b=0"),
        r"l must be within 0 to 360",
    ),
    BadInput(
        "position: hours or degrees",
        ("search", "--position", "12:30:00 10.5"),
        r"could be hours or degrees",
    ),
    BadInput(
        "cone: radius in parsec",
        ("search", "--galaxy", "1", "--cone", "150 2.2 5 parsec"),
        r"the angle '5 parsec' is not understood",
    ),
    BadInput(
        "cone: no radius left",
        ("search", "--galaxy", "1", "--cone", "150 2.2 0"),
        r"the radius 0 deg is impossible",
    ),
]
