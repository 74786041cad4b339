"""Wrong command lines of ``skylike search``, against an empty database."""

from pathlib import Path

import numpy as np

from bad_input.case import BadInput


def _vectors(folder: Path) -> None:
    np.save(folder / "good.npy", np.ones(8))
    np.save(folder / "text.npy", np.array(["a", "b"]))
    (folder / "truncated.npy").write_bytes((folder / "good.npy").read_bytes()[:90])
    (folder / "no.npy").write_text("1 2 3")


def _positions(folder: Path) -> None:
    (folder / "no_positions.csv").write_text("name,mag\nM51,8.4\n")
    (folder / "empty.csv").write_text("ra,dec\n")
    (folder / "two.csv").write_text("ra_deg,raj2000,dec\n1,2,3\n")
    (folder / "targets.txt").write_text("180.5 0.5\n")
    (folder / "words.csv").write_text("ra,dec\nhere,there\nup,down\n")
    (folder / "good.csv").write_text("ra,dec\n180.5,0.5\n")
    (folder / "long.csv").write_text("ra,dec\n" + "180.5,0.5\n" * 10_001)
    (folder / "wrong.fits").write_text("SIMPLE  = this is not FITS")


def _some_of_each(folder: Path) -> None:
    _vectors(folder)
    _positions(folder)


CASES = [
    BadInput("search by nothing", ("search",), r"nothing to search by; name an example"),
    BadInput(
        "search by a word", ("search", "--galaxy", "M51"), r"--galaxy.*integer", exit_status=2
    ),
    BadInput(
        "search for zero galaxies", ("search", "--galaxy", "1", "-k", "0"), r"k=0 is out of range"
    ),
    BadInput(
        "search for too many galaxies",
        ("search", "--galaxy", "1", "-k", "10001"),
        r"ask for 1 to 10000 galaxies",
    ),
    BadInput(
        "search with a negative separation",
        ("search", "--galaxy", "1", "--min-separation", "-3"),
        r"min_separation=-3 is not an angle",
    ),
    BadInput(
        "search at no position",
        ("search", "--position", "somewhere nice"),
        r"position 'somewhere nice' is not understood",
    ),
    BadInput(
        "search below the south pole",
        ("search", "--position", "10 -91"),
        r"declination",
    ),
    BadInput(
        "search in a cone without a radius",
        ("search", "--galaxy", "1", "--cone", "180 0"),
        r"cone '180 0'",
    ),
    BadInput(
        "search with a cut on an unknown column",
        ("search", "--galaxy", "1", "--where", "mag_rr < 18"),
        r"mag_rr.*mag_r",
    ),
    BadInput(
        "search with a cut that is a statement",
        ("search", "--galaxy", "1", "--where", "1=1; DROP TABLE skylike.galaxy"),
        r"character \d+ of the cut",
    ),
    BadInput(
        "search with a cut that compares unlike things",
        ("search", "--galaxy", "1", "--where", "type > 3"),
        r"the text column type cannot be compared with a number \(character 8",
    ),
    BadInput(
        "search with a cut on no classifier",
        ("search", "--galaxy", "1", "--where", "score_ring > 0.5"),
        r"there is no column score_ring; searches have a column of scores once",
    ),
    BadInput(
        "search with a cut on a cone off the sky",
        ("search", "--galaxy", "1", "--where", "mag_r < 18 AND in_cone('10 95', '1 deg')"),
        r"declination 95 is not within .*\(character 24",
    ),
    BadInput(
        "search for each with a cut on a label that is none",
        ("search", "--galaxy", "1", "--each", "--where", "has_label('Ring')"),
        r"the name of a label is a small letter.*\(character 11",
    ),
    BadInput(
        "search with a definition of a column of the catalog",
        ("search", "--galaxy", "1", "--define", "mag_r = mag_g"),
        r"mag_r is a column of the catalog; take another name \(character 1",
    ),
    BadInput(
        "search with a definition that nests too much",
        ("search", "--galaxy", "1", "--define", f"deep = {'exp(' * 12}flux_g{')' * 12}"),
        r"it nests too many functions; simplify it \(in the cut 'deep = exp",
    ),
    BadInput(
        "search with two definitions of one name",
        ("search", "--galaxy", "1", "--define", "c = mag_g", "--define", "c = mag_r"),
        r"c is defined already, as mag_g; take another name",
    ),
    BadInput(
        "search by a missing vector",
        ("search", "--vector", "{folder}/missing.npy"),
        r"missing\.npy: cannot be read",
    ),
    BadInput(
        "search by a vector in a text file",
        ("search", "--vector", "{folder}/no.npy"),
        r"no\.npy: not a NumPy \.npy file",
        _vectors,
    ),
    BadInput(
        "search by a truncated vector",
        ("search", "--vector", "{folder}/truncated.npy"),
        r"truncated\.npy: not a NumPy \.npy file",
        _vectors,
    ),
    BadInput(
        "search by a vector of words",
        ("search", "--vector", "{folder}/text.npy"),
        r"text\.npy: holds .*, not numbers",
        _vectors,
    ),
    BadInput(
        "search before anything was made",
        ("search", "--vector", "{folder}/good.npy"),
        r"no encoder is active; no galaxy has an image yet: run `skylike images add`",
        _vectors,
    ),
    BadInput(
        "search with an unknown encoder",
        ("search", "--galaxy", "1", "--encoder", "nobody"),
        r"no encoder is named 'nobody'",
    ),
    BadInput(
        "search into an unknown format",
        ("search", "--galaxy", "1", "--format", "xls"),
        r"'xls' is not one of",
        exit_status=2,
    ),
    BadInput(
        "search into a folder that is not there",
        ("search", "--galaxy", "1", "--output", "{folder}/nowhere/answer.csv"),
        r"answer\.csv: cannot be written",
    ),
    BadInput(
        "search into a binary format without a file, refused before anything is looked up",
        ("search", "--galaxy", "1", "--format", "fits"),
        r"the format fits is for files; name one with --output, such as result\.fits",
    ),
    BadInput(
        "search into a file whose extension tells no format",
        ("search", "--galaxy", "1", "--output", "{folder}/answer.h5"),
        r"answer\.h5: the extension tells no format; use \.csv, \.json, \.fits",
    ),
    BadInput(
        "search into a file whose extension contradicts the format",
        ("search", "--galaxy", "1", "--format", "votable", "--output", "{folder}/answer.fits"),
        r"answer\.fits: the extension says fits, the format is votable; make them agree",
    ),
    BadInput(
        "contact sheet in a format that is none of pictures",
        ("search", "--galaxy", "1", "--sheet", "{folder}/sheet.foo"),
        r"sheet\.foo: the extension tells no format of pictures; use \.png, \.jpg",
    ),
    BadInput(
        "search with a limit that is no angle",
        ("search", "--galaxy", "1", "--position-limit", "20 parsec"),
        r"parsec",
    ),
    BadInput(
        "contact sheet into a folder that is not there",
        ("search", "--galaxy", "1", "--sheet", "{folder}/nowhere/sheet.png"),
        r"sheet\.png: cannot be written",
    ),
    BadInput(
        "search with a timeout of nothing",
        ("search", "--galaxy", "1", "--timeout", "0"),
        r"timeout",
        exit_status=2,
    ),
    BadInput(
        "search by rejects alone",
        ("search", "--reject", "1"),
        r"nothing to search by",
    ),
    BadInput(
        "search by a galaxy that is rejected as well",
        ("search", "--galaxy", "7", "--reject", "7"),
        r"galaxy 7 is given both as an example and as a reject",
    ),
    BadInput(
        "search from before the first result",
        ("search", "--galaxy", "1", "--offset", "-1"),
        r"offset=-1 is out of range; with k=10 it may be 0 to 9990",
    ),
    BadInput(
        "search beyond the last page",
        ("search", "--galaxy", "1", "-k", "100", "--offset", "9901"),
        r"offset=9901 is out of range; with k=100 it may be 0 to 9900",
    ),
    BadInput(
        "search by a table of positions of no known kind",
        ("search", "--positions", "{folder}/targets.txt"),
        r"targets\.txt: this kind of file is not known; let its name end in what it is",
        _positions,
    ),
    BadInput(
        "search by a missing table of positions",
        ("search", "--positions", "{folder}/missing.csv"),
        r"missing\.csv: there is no such file",
    ),
    BadInput(
        "search by a table without positions",
        ("search", "--positions", "{folder}/no_positions.csv"),
        r"no_positions\.csv: no columns of right ascension.*among name, mag; name them ra and dec",
        _positions,
    ),
    BadInput(
        "search by an empty table of positions",
        ("search", "--positions", "{folder}/empty.csv"),
        r"empty\.csv: the table has a header and no rows",
        _positions,
    ),
    BadInput(
        "search by a table with two right ascensions",
        ("search", "--positions", "{folder}/two.csv"),
        r"two\.csv: ra may be ra_deg or raj2000",
        _positions,
    ),
    BadInput(
        "search by a table of words",
        ("search", "--positions", "{folder}/words.csv"),
        r"words\.csv: no row has a position in its columns ra and dec",
        _positions,
    ),
    BadInput(
        "search by a table of too many positions",
        ("search", "--positions", "{folder}/long.csv"),
        r"long\.csv: has more than 10,000 rows",
        _positions,
    ),
    BadInput(
        "search by a broken table of positions",
        ("search", "--positions", "{folder}/wrong.fits"),
        r"wrong\.fits: cannot be read as FITS",
        _positions,
    ),
    BadInput(
        "contact sheet of several answers",
        ("search", "--positions", "{folder}/good.csv", "--each", "--sheet", "{folder}/a.png"),
        r"--explain and --sheet are for one answer; leave out --each",
        _positions,
    ),
    BadInput(
        "search by positions before anything was made",
        ("search", "--positions", "{folder}/good.csv", "--each"),
        r"no encoder is active",
        _positions,
    ),
    *(
        BadInput(
            f"the rarest and {named[0]}",
            ("search", "--rarest", *named),
            r"--rarest ranks by no example; leave out --galaxy, --position, --positions,",
            _some_of_each,
        )
        for named in (
            ("--galaxy", "1"),
            ("--position", "10 10"),
            ("--positions", "{folder}/good.csv"),
            ("--image", "{folder}/good.npy"),
            ("--vector", "{folder}/good.npy"),
            ("--reject", "1"),
            ("--each",),
            ("--least-similar",),
        )
    ),
    BadInput(
        "the rarest of too many galaxies",
        ("search", "--rarest", "-k", "10001"),
        r"ask for 1 to 10000 galaxies",
    ),
    BadInput(
        "the rarest beyond the last page",
        ("search", "--rarest", "-k", "100", "--offset", "9901"),
        r"offset=9901 is out of range; with k=100 it may be 0 to 9900",
    ),
    BadInput(
        "the rarest with a negative separation",
        ("search", "--rarest", "--min-separation", "-3"),
        r"min_separation=-3 is not an angle",
    ),
    BadInput(
        "the rarest with a cut on an unknown column",
        ("search", "--rarest", "--where", "mag_rr < 18"),
        r"mag_rr.*mag_r",
    ),
    BadInput(
        "the rarest in a cone without a radius",
        ("search", "--rarest", "--cone", "180 0"),
        r"cone '180 0'",
    ),
    BadInput(
        "the rarest before anything was made",
        ("search", "--rarest"),
        r"no encoder is active; no galaxy has an image yet: run `skylike images add`",
    ),
    BadInput(
        "the rarest by an unknown encoder",
        ("search", "--rarest", "--encoder", "nobody"),
        r"no encoder is named 'nobody'",
    ),
    BadInput(
        "the rarest on a sheet in a folder that is not there",
        ("search", "--rarest", "--sheet", "{folder}/nowhere/sheet.png"),
        r"sheet\.png: cannot be written",
    ),
]
