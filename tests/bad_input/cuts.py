"""Cuts, positions and cones that are refused: the answer names the place or says what to write."""

from pathlib import Path

from bad_input.case import BadInput


def _table(folder: Path) -> None:
    (folder / "stars.csv").write_text("ra,dec,class,mag_r\n10.5,20.5,GALAXY,18.2\n")


def _search(where: str) -> tuple[str, ...]:
    return ("search", "--galaxy", "1", "--where", where)


def _load(where: str) -> tuple[str, ...]:
    return ("catalog", "load", "{folder}/stars.csv", "--where", where)


CASES = [
    BadInput("cut: empty", _search(" "), r"the cut is empty; write a condition"),
    BadInput(
        "cut: comment",
        _search("mag_r < 18 -- bright"),
        r"-- begins a comment, and a cut has none \(character 12 of the cut",
    ),
    BadInput(
        "cut: subquery",
        _search("galaxy_id IN (SELECT 1)"),
        r"SELECT is not allowed in a cut.*\(character 15 of the cut",
    ),
    BadInput(
        "cut: function of the server",
        _search("pg_sleep(100) IS NULL"),
        r"there is no function pg_sleep; .*\(character 1 of the cut",
    ),
    BadInput("cut: cast", _search("mag_r::text = '18'"), r":: is not allowed in a cut"),
    BadInput("cut: parameter", _search("mag_r < $1"), r"\$ is not allowed in a cut"),
    BadInput(
        "cut: text with a number",
        _search("mag_r < 'bright'"),
        r"number column mag_r cannot be compared with the text 'bright'",
    ),
    BadInput("cut: double quotes", _search('type = "SER"'), r"a text goes between single quotes"),
    BadInput("cut: no condition", _search("mag_g - mag_r"), r"is a number, not a condition"),
    BadInput("cut: NULL compared", _search("mag_r = NULL"), r"only in IS NULL|IS NOT NULL"),
    BadInput("cut: open parenthesis", _search("(mag_r < 18"), r"a closing parenthesis is missing"),
    BadInput("cut: open quote", _search("type = 'SER"), r"the quote ' is never closed"),
    BadInput("cut: number out of range", _search("mag_r < 1e999"), r"1e999 is out of range"),
    BadInput("cut: very deep", _search("(" * 5_000 + "1=1" + ")" * 5_000), r"nested too deeply"),
    BadInput("cut: very long", _search("mag_r < 1 OR " * 5_000 + "1=1"), r"characters; at most"),
    BadInput(
        "cut: cone off the sky",
        _search("in_cone(ra, dec, 150, 95, 1)"),
        r"declination 95 is not within -90 to \+90",
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
