"""What people get wrong with ``skylike evaluate labels``."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from bad_input.case import BadInput

_ASKED = (
    *("evaluate", "labels"),
    *("--images", "{folder}/images.tar"),
    *("--labels", "{folder}/labels.csv"),
)


def _prepare(labels: str, *, pictures: int = 12, cut: int | None = None):
    def prepare(folder: Path) -> None:
        (folder / "labels.csv").write_text(labels, encoding="utf-8")
        with tarfile.open(folder / "images.tar", "w") as archive:
            for i in range(pictures):
                buffer = io.BytesIO()
                pixels = np.full((40, 40, 3), 10 * i, dtype=np.uint8)
                Image.fromarray(pixels).save(buffer, "PNG")
                member = tarfile.TarInfo(f"{i}.png")
                member.size = len(buffer.getvalue())
                archive.addfile(member, io.BytesIO(buffer.getvalue()))
        if cut is not None:
            whole = (folder / "images.tar").read_bytes()
            (folder / "images.tar").write_bytes(whole[:cut])

    return prepare


def _rows(header: str, value: str = "ab", n: int = 12) -> str:
    return header + "\n" + "".join(f"{i}.png,{value[i % len(value)]}\n" for i in range(n))


_GOOD = _rows("file,label")


def _not_an_encoder(folder: Path) -> None:
    _prepare(_GOOD)(folder)
    (folder / "mine.pt").write_bytes(b"these are no weights")


CASES = [
    BadInput(
        "evaluate_labels_missing_labels",
        ("evaluate", "labels", "--images", "{folder}", "--labels", "{folder}/gone.csv"),
        r"gone\.csv: there is no such file; --labels names a CSV of classes",
    ),
    BadInput(
        "evaluate_labels_missing_images",
        ("evaluate", "labels", "--images", "{folder}/gone.tar", "--labels", "{folder}/labels.csv"),
        r"gone\.tar: there is no such file or folder",
        prepare=_prepare(_GOOD),
    ),
    BadInput(
        "evaluate_labels_without_images",
        ("evaluate", "labels", "--labels", "{folder}/labels.csv"),
        r"Missing option '--images'",
        exit_status=2,
    ),
    BadInput("evaluate_labels_empty_table", _ASKED, r"labels\.csv: is empty", prepare=_prepare("")),
    BadInput(
        "evaluate_labels_header_only",
        _ASKED,
        r"labels\.csv: has no rows",
        prepare=_prepare("file,label\n"),
    ),
    BadInput(
        "evaluate_labels_no_class_column",
        _ASKED,
        r"no column `label` or `class`; name one of its columns with --label-column",
        prepare=_prepare(_rows("file,kind")),
    ),
    BadInput(
        "evaluate_labels_unknown_class_column",
        (*_ASKED, "--label-column", "morphology"),
        r"no column 'morphology'; give --label-column one of file, label",
        prepare=_prepare(_GOOD),
    ),
    BadInput(
        "evaluate_labels_no_key",
        _ASKED,
        r"no column `file` \(pictures\), `object_id` or `row`",
        prepare=_prepare(_rows("galaxy,label")),
    ),
    BadInput(
        "evaluate_labels_key_of_other_images",
        _ASKED,
        r"has no column `file`, by which the pictures of .*images\.tar would be found",
        prepare=_prepare(_rows("object_id,label")),
    ),
    BadInput(
        "evaluate_labels_nothing_joins",
        _ASKED,
        r"none of its rows is of an image in .*images\.tar",
        prepare=_prepare("file,label\nother.png,a\n"),
    ),
    BadInput(
        "evaluate_labels_too_few",
        _ASKED,
        r"only 4 of its images are there; 11 are the least",
        prepare=_prepare(_rows("file,label", n=4)),
    ),
    BadInput(
        "evaluate_labels_one_class",
        _ASKED,
        r"all images are 'a'; two classes are the least",
        prepare=_prepare(_rows("file,label", "a")),
    ),
    BadInput(
        "evaluate_labels_truncated_tar",
        _ASKED,
        r"images\.tar: not a readable tar",
        prepare=_prepare(_GOOD, cut=3000),
    ),
    BadInput(
        "evaluate_labels_fraction_is_no_fraction",
        (*_ASKED, "--fraction-column", "arms"),
        r"column 'arms' goes from 1 to 9; a vote fraction is from 0 to 1",
        prepare=_prepare(_rows("file,arms", "159")),
    ),
    BadInput(
        "evaluate_labels_fraction_of_words",
        (*_ASKED, "--fraction-column", "label"),
        r"column 'label' holds no number",
        prepare=_prepare(_GOOD),
    ),
    BadInput(
        "evaluate_labels_query_fraction_too_high",
        (*_ASKED, "--query-fraction", "1.5"),
        r"--query-fraction 1\.5 is not from 0 to below 1",
    ),
    BadInput(
        "evaluate_labels_ignored_class_is_not_there",
        (*_ASKED, "--ignore", "star"),
        r"--ignore star: .*labels\.csv has no such class; it has a, b",
        prepare=_prepare(_GOOD),
    ),
    BadInput(
        "evaluate_labels_missing_encoder_file",
        (*_ASKED, "--encoder", "{folder}/gone.pt"),
        r"gone\.pt: the checkpoint is missing",
        prepare=_prepare(_GOOD),
    ),
    BadInput(
        "evaluate_labels_encoder_is_no_encoder",
        (*_ASKED, "--encoder", "{folder}/mine.pt"),
        r"mine\.pt: not a readable checkpoint",
        prepare=_not_an_encoder,
    ),
    BadInput(
        "evaluate_labels_unknown_encoder",
        (*_ASKED, "--encoder", "nobody"),
        r"no encoder is named 'nobody'",
        prepare=_prepare(_GOOD),
    ),
    BadInput("evaluate_labels_negative_seed", (*_ASKED, "--seed", "-1"), r"--seed -1 is negative"),
    BadInput(
        "evaluate_labels_unknown_device",
        (*_ASKED, "--device", "gpu"),
        r"device 'gpu' is unknown",
    ),
    BadInput(
        "evaluate_labels_unknown_layer",
        (*_ASKED, "--layer", "last"),
        r"Invalid value for '--layer'",
        exit_status=2,
    ),
    BadInput(
        "evaluate_labels_output_in_no_folder",
        (*_ASKED, "--output", "{folder}/gone/answer.json"),
        r"answer\.json: cannot be written",
        prepare=_prepare(_GOOD),
    ),
]
