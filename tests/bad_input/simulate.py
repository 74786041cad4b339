"""What people get wrong with ``skylike simulate``."""

from pathlib import Path

from bad_input.case import BadInput


def _file_in_the_way(folder: Path) -> None:
    (folder / "survey").write_text("not a folder")


def _foreign_images(folder: Path) -> None:
    (folder / "survey" / "images").mkdir(parents=True)
    (folder / "survey" / "images" / "mine.h5").write_bytes(b"mine")


def _other_arguments(folder: Path) -> None:
    (folder / "survey").mkdir()
    (folder / "survey" / "simulation.json").write_text('{"galaxies": 7}')


def _simulate(*options: str) -> tuple[str, ...]:
    return ("simulate", "--output", "{folder}/survey", *options)


CASES = [
    BadInput("simulate-without-number", _simulate(), r"Missing option '--galaxies'", exit_status=2),
    BadInput(
        "simulate-without-output",
        ("simulate", "--galaxies", "5"),
        r"Missing option '--output'",
        exit_status=2,
    ),
    BadInput(
        "simulate-number-in-words",
        _simulate("--galaxies", "many"),
        r"Invalid value for '--galaxies'",
        exit_status=2,
    ),
    BadInput(
        "simulate-no-galaxies", _simulate("--galaxies", "0"), r"--galaxies 0: at least 1 is needed"
    ),
    BadInput(
        "simulate-more-than-a-sky",
        _simulate("--galaxies", "1000000000000"),
        r"--galaxies 1000000000000: at most 1,000,000,000 are possible",
    ),
    BadInput(
        "simulate-more-than-the-disk",
        _simulate("--galaxies", "1000000000"),
        r"GB are needed for 1,000,000,000 cutouts",
    ),
    BadInput(
        "simulate-negative-seed",
        _simulate("--galaxies", "5", "--seed", "-1"),
        r"--seed -1: must not be negative",
    ),
    BadInput(
        "simulate-no-workers",
        _simulate("--galaxies", "5", "--workers", "0"),
        r"--workers 0: at least 1 is needed",
    ),
    BadInput(
        "simulate-negative-radius",
        _simulate("--galaxies", "5", "--radius", "-3"),
        r"--radius -3: must be above 0 and at most 180 degrees",
    ),
    BadInput(
        "simulate-radius-not-a-number",
        _simulate("--galaxies", "5", "--radius", "nan"),
        r"--radius nan: must be above 0",
    ),
    BadInput(
        "simulate-center-not-on-the-sky",
        _simulate("--galaxies", "5", "--center", "190 95"),
        r"position '190 95' is impossible: declination 95",
    ),
    BadInput(
        "simulate-center-in-words",
        _simulate("--galaxies", "5", "--center", "Coma"),
        r"the position 'Coma' is not understood",
    ),
    BadInput(
        "simulate-magnitudes-reversed",
        _simulate("--galaxies", "5", "--mag-z-range", "20", "14"),
        r"--mag-z-range 20 14: give the bright limit, then the faint one",
    ),
    BadInput(
        "simulate-into-a-file",
        _simulate("--galaxies", "5"),
        r"survey.*: is a file where a folder is needed; choose another --output",
        _file_in_the_way,
    ),
    BadInput(
        "simulate-over-foreign-images",
        _simulate("--galaxies", "5"),
        r"holds mine\.h5, which no simulation here has made",
        _foreign_images,
    ),
    BadInput(
        "simulate-with-other-arguments",
        _simulate("--galaxies", "5"),
        r"holds a simulation with other arguments \(galaxies 7 instead of 5",
        _other_arguments,
    ),
    BadInput(
        "simulate-where-nothing-can-be-written",
        ("simulate", "--galaxies", "5", "--output", "/proc/survey"),
        r"/proc/survey: cannot be written to",
    ),
]
