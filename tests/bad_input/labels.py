"""What people get wrong with ``skylike label``; there is no galaxy and no label yet."""

from collections.abc import Callable
from pathlib import Path

from bad_input.case import BadInput


def _text(name: str, content: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return prepare


def _truncated_parquet(folder: Path) -> None:
    (folder / "rings.parquet").write_bytes(b"PAR1" + bytes(500))


_RINGS = _text("rings.csv", "ra,dec\n10.5,20.5\n")


def _add_from(name: str, *more: str) -> tuple[str, ...]:
    return ("label", "add", "ring", "--from", f"{{folder}}/{name}", *more)


CASES = [
    BadInput(
        "label: a name with capitals",
        ("label", "add", "Ring-Like", "--galaxy", "1"),
        r"the label name 'Ring-Like' is not a plain identifier; .* such as ring_like",
    ),
    BadInput(
        "label: no galaxy",
        ("label", "add", "ring"),
        r"no galaxy is named; give --galaxy ID or --from FILE",
    ),
    BadInput(
        "label: a galaxy that is not there",
        ("label", "add", "ring", "--galaxy", "42", "--galaxy", "99999999999999999999"),
        r"galaxy 42, 99999999999999999999 is not in the catalog; nothing was changed",
    ),
    BadInput(
        "label: a galaxy that is a word",
        ("label", "add", "ring", "--galaxy", "M51"),
        r"Invalid value for '--galaxy'",
        exit_status=2,
    ),
    BadInput("label: no such file", _add_from("none.csv"), r"none\.csv: there is no such file"),
    BadInput(
        "label: an empty file",
        _add_from("empty.csv"),
        r"empty\.csv: the file is empty",
        _text("empty.csv", ""),
    ),
    BadInput(
        "label: a table without galaxies",
        _add_from("names.csv"),
        r"names\.csv: no columns that tell galaxies among name, flux; it needs galaxy_id, or",
        _text("names.csv", "name,flux\na,1\n"),
    ),
    BadInput(
        "label: a table that fits nothing in the catalog",
        _add_from("rings.csv"),
        r"none of its 1 rows can be used: 1 row without a galaxy within 1 arcsec; load that",
        _RINGS,
    ),
    BadInput(
        "label: a truncated Parquet file",
        _add_from("rings.parquet"),
        r"rings\.parquet: cannot be read as Parquet",
        _truncated_parquet,
    ),
    BadInput(
        "label: two right ascensions",
        _add_from("two.csv"),
        r"two\.csv: ra may be ra_deg or RAJ2000; say which, such as --columns ra=ra_deg",
        _text("two.csv", "RAJ2000,ra_deg,dec\n1,1,1\n"),
    ),
    BadInput(
        "label: a match radius of a degree",
        _add_from("rings.csv", "--match-radius", "3600"),
        r"--match-radius 3600 is out of range; take up to 60 arcsec",
        _RINGS,
    ),
    BadInput(
        "label: an empty author",
        ("label", "add", "ring", "--galaxy", "1", "--author", " "),
        r"--author is empty; write who says so",
    ),
    BadInput(
        "label: removed where there is none",
        ("label", "remove", "ring", "--all"),
        r"nothing is labeled ring; there is no label yet; add some with `skylike label add ring`",
    ),
    BadInput(
        "label: --all with galaxies",
        ("label", "remove", "ring", "--all", "--galaxy", "1"),
        r"--all is given with --galaxy or --from; keep one of them",
    ),
    BadInput(
        "label: listed where there is none",
        ("label", "list", "ring"),
        r"nothing is labeled ring; there is no label yet",
    ),
    BadInput(
        "label: exported where there is none",
        ("label", "export"),
        r"nothing is labeled; there is no label yet",
    ),
    BadInput(
        "label: exported to a format that is not known",
        ("label", "export", "ring", "--output", "{folder}/ring.txt"),
        r"ring\.txt: the extension tells no format; use \.csv, \.parquet",
    ),
    BadInput(
        "label: exported into a folder that is not there",
        ("label", "export", "ring", "--output", "{folder}/none/ring.csv"),
        r"cannot be written; name a file in a folder that exists",
    ),
    BadInput(
        "label: splits that do not sum to 1",
        ("label", "export", "ring", "--splits", "0.8,0.1"),
        r"--splits '0\.8,0\.1' sums to 0\.9; write fractions that sum to 1",
    ),
    BadInput(
        "label: splits that are words",
        ("label", "export", "ring", "--splits", "train,test"),
        r"--splits 'train,test' is not understood",
    ),
    BadInput(
        "label: suggestions without an encoder",
        ("label", "suggest", "ring"),
        r"no encoder is active; no galaxy has an image yet: run `skylike images add`",
    ),
    BadInput(
        "label: suggestions by the million",
        ("label", "suggest", "ring", "-k", "1000000"),
        r"k=1000000 is out of range; ask for 1 to 1000 suggestions",
    ),
    BadInput(
        "label: suggestions by a wrong cut",
        ("label", "suggest", "ring", "--where", "score_ring > 0.5"),
        r"there is no column score_ring",
    ),
    BadInput(
        "label: trained without an encoder",
        ("label", "train", "ring"),
        r"no encoder is active; no galaxy has an image yet: run `skylike images add`",
    ),
    BadInput(
        "label: trained against a negative number of galaxies",
        ("label", "train", "ring", "--random", "-5"),
        r"--random -5 is out of range; take 0 to 20000",
    ),
]
