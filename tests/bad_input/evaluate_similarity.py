"""What people get wrong with ``skylike evaluate augmentations``, ``window`` and ``lenses``."""

from pathlib import Path

from bad_input.case import BadInput

_LENSES = ("evaluate", "lenses", "--labels", "{folder}/lenses.csv")


def _list_of(text: str, name: str = "lenses.csv"):
    def prepare(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return prepare


CASES = [
    BadInput("evaluate_window_without_encoder", ("evaluate", "window"), r"no encoder is active"),
    BadInput(
        "evaluate_window_unknown_encoder",
        ("evaluate", "window", "--encoder", "nobody"),
        r"no encoder is named 'nobody'",
    ),
    BadInput(
        "evaluate_window_ranks_in_words",
        ("evaluate", "window", "-k", "ten"),
        r"-k 'ten': use ranks separated by commas",
    ),
    BadInput(
        "evaluate_window_rank_zero", ("evaluate", "window", "-k", "0,10"), r"use ranks from 1"
    ),
    BadInput(
        "evaluate_window_unknown_band",
        ("evaluate", "window", "--band", "w1"),
        r"band 'w1' is unknown; use one of",
    ),
    BadInput(
        "evaluate_window_negative_width",
        ("evaluate", "window", "--width", "-0.5"),
        r"window width -0.5: use magnitudes",
    ),
    BadInput(
        "evaluate_window_empty_sample",
        ("evaluate", "window", "--sample", "0"),
        r"a sample of 0 galaxies",
    ),
    BadInput(
        "evaluate_window_among_fewer_than_the_sample",
        ("evaluate", "window", "--among", "10"),
        r"--among 10 is less than 2 or than the sample of 1000",
    ),
    BadInput(
        "evaluate_window_unknown_run",
        ("evaluate", "window", "--run", "7"),
        r"there is no neighbor run 7",
    ),
    BadInput(
        "evaluate_window_output_in_no_folder",
        ("evaluate", "window", "--output", "{folder}/nowhere/window.json"),
        r"nowhere/window.json: cannot be written; give a file in a folder that is there",
    ),
    BadInput(
        "evaluate_window_unknown_format",
        ("evaluate", "window", "--format", "xml"),
        r"Invalid value for '--format'",
        exit_status=2,
    ),
    BadInput(
        "evaluate_lenses_without_list",
        ("evaluate", "lenses"),
        r"Missing option '--labels'",
        exit_status=2,
    ),
    BadInput("evaluate_lenses_without_encoder", _LENSES, r"no encoder is active"),
    BadInput(
        "evaluate_lenses_column_without_value",
        (*_LENSES, "--label-column", "class"),
        r"--label-column and --value go together",
    ),
    BadInput(
        "evaluate_lenses_radius_of_a_degree",
        (*_LENSES, "--radius", "3600"),
        r"--radius 3600: take up to 60 arcsec",
    ),
    BadInput(
        "evaluate_lenses_thinned_to_everything",
        (*_LENSES, "--thin", "1"),
        r"--thin 1: use a share such as 0.001",
    ),
    BadInput("evaluate_lenses_no_draws", (*_LENSES, "--draws", "0"), r"--draws 0: use at least 1"),
    BadInput(
        "evaluate_augmentations_encoder_file_not_there",
        (
            "evaluate",
            "augmentations",
            "--images",
            "{folder}/none.tar",
            "--encoder",
            "{folder}/e.pt",
        ),
        r"e.pt: the checkpoint is missing",
    ),
    BadInput(
        "evaluate_augmentations_file_that_is_no_encoder",
        ("evaluate", "augmentations", "--images", "{folder}", "--encoder", "{folder}/e.pt"),
        r"e.pt: not a readable checkpoint",
        prepare=_list_of("no weights", "e.pt"),
    ),
    BadInput(
        "evaluate_augmentations_of_the_catalog_without_encoder",
        ("evaluate", "augmentations"),
        r"no encoder is active",
    ),
    BadInput(
        "evaluate_augmentations_more_copies_than_make_sense",
        ("evaluate", "augmentations", "--copies", "1000"),
        r"--copies 1000: use 1 to 100",
    ),
    BadInput(
        "evaluate_augmentations_sample_of_nothing",
        ("evaluate", "augmentations", "--sample", "0"),
        r"a sample of 0 images",
    ),
    BadInput(
        "evaluate_augmentations_unknown_device",
        ("evaluate", "augmentations", "--device", "tpu"),
        r"device 'tpu' is unknown",
    ),
]
