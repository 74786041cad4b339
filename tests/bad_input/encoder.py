"""What people get wrong with ``skylike encoder`` and ``skylike embed``."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np

from bad_input.case import BadInput


def _recipe(text: str):
    def prepare(folder: Path) -> None:
        (folder / "mine.toml").write_text(text, encoding="utf-8")

    return prepare


def _binary_recipe(folder: Path) -> None:
    (folder / "mine.toml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")


def _truncated_tar(folder: Path) -> None:
    with tarfile.open(folder / "cut.tar", "w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.size = 5000
        archive.addfile(member, io.BytesIO(bytes(5000)))
    whole = (folder / "cut.tar").read_bytes()
    (folder / "cut.tar").write_bytes(whole[:2000])


def _file(name: str, content: bytes):
    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return prepare


def _array(shape: tuple[int, ...]):
    def prepare(folder: Path) -> None:
        np.save(folder / "v.npy", np.ones(shape, dtype=np.float32))
        (folder / "ids.csv").write_text("object_id,ra,dec\n1,10,10\n2,20,20\n", encoding="utf-8")

    return prepare


def _malicious(folder: Path) -> None:
    class Malicious:
        def __reduce__(self):
            return (os.system, (f"touch {folder}/mark",))

    (folder / "model.pt").write_bytes(pickle.dumps({"state_dict": Malicious()}, protocol=2))


_WEIGHTS = ("encoder", "import", "{folder}/model.pt")
_VECTORS = ("encoder", "import", "--embeddings", "{folder}/v.npy")
_MINE = ("encoder", "train", "--recipe", "{folder}/mine.toml")

CASES = [
    BadInput(
        "encoder_train_unknown_recipe",
        ("encoder", "train", "--recipe", "huge"),
        r"recipe 'huge' is unknown; use paper, .*small.* or a file NAME\.toml",
    ),
    BadInput(
        "encoder_train_missing_recipe_file", _MINE, r"mine\.toml: cannot be read \(No such file"
    ),
    BadInput(
        "encoder_train_recipe_not_toml",
        _MINE,
        r"mine\.toml: not TOML",
        prepare=_recipe("epochs: 3\n"),
    ),
    BadInput("encoder_train_recipe_binary", _MINE, r"mine\.toml: not TOML", prepare=_binary_recipe),
    BadInput(
        "encoder_train_recipe_unknown_key",
        _MINE,
        r"recipe key epoch is unknown; use one of name, architecture",
        prepare=_recipe("epoch = 3\n"),
    ),
    BadInput(
        "encoder_train_recipe_wrong_type",
        _MINE,
        r"recipe key width: 'wide' is not of type float",
        prepare=_recipe('width = "wide"\n'),
    ),
    BadInput(
        "encoder_train_recipe_unknown_augmentation",
        _MINE,
        r"recipe key augment\.jitter is unknown",
        prepare=_recipe("[augment]\njitter = 7\n"),
    ),
    BadInput(
        "encoder_train_batch_that_does_not_divide_the_queue",
        ("encoder", "train", "--batch-size", "100"),
        r"queue must be a positive multiple of batch_size",
    ),
    BadInput(
        "encoder_train_no_epochs", ("encoder", "train", "--epochs", "0"), r"epochs must be above 0"
    ),
    BadInput(
        "encoder_train_endless_epochs",
        ("encoder", "train", "--epochs", "inf"),
        r"epochs inf is not a finite number",
    ),
    BadInput(
        "encoder_train_epochs_not_a_number",
        ("encoder", "train", "--epochs", "many"),
        r"Invalid value for '--epochs'",
        exit_status=2,
    ),
    BadInput(
        "encoder_train_uniform_without_galaxies",
        ("encoder", "train", "--uniform-in", "mag_z"),
        r"uniform_in 'mag_z' needs galaxies, .*\(--galaxies N\)",
    ),
    BadInput(
        "encoder_train_uniform_in_unknown_column",
        ("encoder", "train", "--uniform-in", "mag_zz", "--galaxies", "1000"),
        r"--uniform-in mag_zz: the catalog has no such column of numbers "
        r"\(did you mean mag_z\?\); there are ra, dec",
    ),
    BadInput(
        "encoder_train_uniform_without_cutouts",
        ("encoder", "train", "--uniform-in", "mag_z", "--galaxies", "1000"),
        r"no cutouts .* run `skylike images add` first",
    ),
    BadInput(
        "encoder_train_unknown_precision",
        ("encoder", "train", "--precision", "fp8"),
        r"precision 'fp8' is not one of float32, bf16",
    ),
    BadInput(
        "encoder_train_no_galaxies",
        ("encoder", "train", "--galaxies", "-5"),
        r"galaxies must not be negative",
    ),
    BadInput(
        "encoder_train_galaxies_not_a_number",
        ("encoder", "train", "--galaxies", "many"),
        r"Invalid value for '--galaxies'",
        exit_status=2,
    ),
    BadInput(
        "encoder_train_recipe_uniform_in_a_number",
        _MINE,
        r"recipe key uniform_in: 3 is not of type str",
        prepare=_recipe("uniform_in = 3\n"),
    ),
    BadInput(
        "encoder_train_images_uniform_in",
        (
            *("encoder", "train", "--uniform-in", "mag_z", "--galaxies", "100"),
            *("--images", "{folder}", "--output", "a.pt"),
        ),
        r"--uniform-in mag_z: image files have no columns of the catalog",
    ),
    BadInput(
        "encoder_train_unknown_kind",
        ("encoder", "train", "--kind", "radio"),
        r"Invalid value for '--kind'",
        exit_status=2,
    ),
    BadInput(
        "encoder_train_unknown_device",
        ("encoder", "train", "--device", "tpu"),
        r"device 'tpu' is unknown; use auto, cpu, cuda",
    ),
    BadInput(
        "encoder_train_gpu_that_is_not_there",
        ("encoder", "train", "--device", "cuda:99"),
        r"device 'cuda:99' is not there",
    ),
    BadInput(
        "encoder_train_name_with_a_path",
        ("encoder", "train", "--name", "../small"),
        r"encoder name '\.\./small': it becomes a file name",
    ),
    BadInput(
        "encoder_train_without_cutouts",
        ("encoder", "train"),
        r"no cutouts .* run `skylike images add` first",
    ),
    BadInput(
        "encoder_show_unknown",
        ("encoder", "show", "nobody"),
        r"no encoder is named 'nobody'; there is none yet; run `skylike embed`",
    ),
    BadInput(
        "encoder_activate_unknown",
        ("encoder", "activate", "nobody"),
        r"no encoder is named 'nobody'",
    ),
    BadInput(
        "encoder_show_without_a_name", ("encoder", "show"), r"Missing argument", exit_status=2
    ),
    BadInput(
        "embed_without_images",
        ("embed",),
        r"no galaxy has a cutout; run `skylike images add` first",
    ),
    BadInput(
        "encoder_train_images_without_output",
        ("encoder", "train", "--images", "{folder}"),
        r"--images needs --output FILE\.pt",
    ),
    BadInput(
        "encoder_train_images_with_a_name",
        ("encoder", "train", "--images", "{folder}", "--output", "a.pt", "--name", "mine"),
        r"--name is for encoders in the database",
    ),
    BadInput(
        "encoder_train_output_without_images",
        ("encoder", "train", "--output", "a.pt"),
        r"--output and --half go with --images",
    ),
    BadInput(
        "encoder_train_missing_images",
        ("encoder", "train", "--images", "{folder}/no.tar", "--output", "{folder}/a.pt"),
        r"no\.tar: there is no such file or folder",
    ),
    BadInput(
        "encoder_train_images_in_an_empty_folder",
        ("encoder", "train", "--images", "{folder}", "--output", "{folder}/a.pt"),
        r"holds no HDF5, FITS, JPEG or PNG files",
    ),
    BadInput(
        "encoder_train_truncated_tar",
        ("encoder", "train", "--images", "{folder}/cut.tar", "--output", "{folder}/a.pt"),
        r"cut\.tar: not a readable tar",
        prepare=_truncated_tar,
    ),
    BadInput(
        "encoder_train_output_in_no_folder",
        ("encoder", "train", "--images", "{folder}/cut.tar", "--output", "{folder}/no/a.pt"),
        r"there is no folder .*/no; make it first",
        prepare=_truncated_tar,
    ),
    BadInput(
        "encoder_train_output_of_another_kind",
        ("encoder", "train", "--images", "{folder}/cut.tar", "--output", "{folder}/a.onnx"),
        r"a\.onnx: an encoder file ends in \.pt",
        prepare=_truncated_tar,
    ),
    BadInput(
        "embed_unknown_encoder", ("embed", "--encoder", "nobody"), r"no encoder is named 'nobody'"
    ),
    BadInput("embed_no_batch", ("embed", "--batch-size", "0"), r"--batch-size 0 is not above 0"),
    BadInput("embed_unknown_device", ("embed", "--device", "gpu"), r"device 'gpu' is unknown"),
    BadInput("embed_no_part", ("embed", "--shard", "3"), r"part '3': use i/n"),
    BadInput("embed_part_beyond", ("embed", "--shard", "9/8"), r"part 9/8: use i/n with 1 <= i"),
    BadInput(
        "embed_part_and_cluster",
        ("embed", "--shard", "1/2", "--scheduler", "tcp://127.0.0.1:8786"),
        r"--shard and --scheduler exclude each other",
    ),
    BadInput(
        "embed_no_scheduler_address",
        ("embed", "--encoder", "nobody", "--scheduler", "somewhere"),
        r"scheduler 'somewhere': use its address",
    ),
    BadInput(
        "embed_scheduler_file_missing",
        ("embed", "--encoder", "nobody", "--scheduler", "{folder}/scheduler.json"),
        r"scheduler file .*scheduler\.json cannot be read",
    ),
    BadInput(
        "embed_unknown_layer",
        ("embed", "--layer", "fc"),
        r"Invalid value for '--layer': .*'fc' is not one of",
        exit_status=2,
    ),
    BadInput(
        "embed_unknown_precision",
        ("embed", "--precision", "int8"),
        r"Invalid value for '--precision': .*'int8' is not one of",
        exit_status=2,
    ),
    BadInput(
        "embed_batch_no_number",
        ("embed", "--batch-size", "many"),
        r"Invalid value for '--batch-size'",
        exit_status=2,
    ),
    BadInput("encoder_import_missing", _WEIGHTS, r"model\.pt: there is no such file"),
    BadInput("encoder_import_folder", ("encoder", "import", "{folder}"), r"is a folder"),
    BadInput(
        "encoder_import_text",
        _WEIGHTS,
        r"model\.pt is text, not weights; give a \.pt",
        prepare=_file("model.pt", b"these are the weights\n"),
    ),
    BadInput(
        "encoder_import_git_lfs_pointer",
        _WEIGHTS,
        r"model\.pt is a Git LFS pointer .* run `git lfs pull`",
        prepare=_file("model.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    ),
    BadInput(
        "encoder_import_truncated",
        _WEIGHTS,
        r"model\.pt: is cut short",
        prepare=_file("model.pt", b"PK\x03\x04" + bytes(99)),
    ),
    BadInput(
        "encoder_import_malicious_pickle",
        _WEIGHTS,
        r"model\.pt: holds Python objects .*\(posix\.system\).* would have to be executed"
        r"|model\.pt: is no file of weights",
        prepare=_malicious,
    ),
    BadInput(
        "encoder_import_nothing",
        ("encoder", "import"),
        r"give either a FILE of weights or --embeddings FILE",
    ),
    BadInput(
        "encoder_import_weights_and_embeddings",
        (*_WEIGHTS, "--embeddings", "{folder}/v.npy"),
        r"give either a FILE of weights or --embeddings FILE",
    ),
    BadInput(
        "encoder_import_weights_with_ids",
        (*_WEIGHTS, "--ids", "{folder}/ids.csv"),
        r"--ids, .* go with --embeddings",
    ),
    BadInput(
        "encoder_import_unknown_format",
        (*_WEIGHTS, "--format", "tensorflow"),
        r"Invalid value for '--format'",
        exit_status=2,
    ),
    BadInput(
        "encoder_import_name_with_a_path",
        (*_WEIGHTS, "--name", "../mine"),
        r"encoder name '\.\./mine': it becomes a file name",
    ),
    BadInput(
        "encoder_import_embeddings_with_recipe",
        (*_VECTORS, "--recipe", "paper"),
        r"--format and --recipe go with a FILE of weights",
    ),
    BadInput("encoder_import_embeddings_missing", _VECTORS, r"v\.npy: there is no such file"),
    BadInput(
        "encoder_import_embeddings_without_ids",
        _VECTORS,
        r"v\.npy: an array does not tell galaxies; give a file that does with --ids",
        prepare=_array((2, 8)),
    ),
    BadInput(
        "encoder_import_embeddings_too_long",
        _VECTORS,
        r"vectors of 5,000 numbers cannot be embeddings here, 2 to 4,000 can",
        prepare=_array((2, 5000)),
    ),
    BadInput(
        "encoder_import_embeddings_more_than_ids",
        (*_VECTORS, "--ids", "{folder}/ids.csv"),
        r"ids\.csv: has 2 rows and .*v\.npy 3; the two must go together",
        prepare=_array((3, 8)),
    ),
    BadInput(
        "encoder_import_embeddings_of_no_galaxy",
        (*_VECTORS, "--ids", "{folder}/ids.csv", "--id-column", "position"),
        r"none of 2 rows is of a galaxy of the catalog, by position .* widen --match-radius",
        prepare=_array((2, 8)),
    ),
    BadInput(
        "encoder_import_embeddings_without_that_column",
        (*_VECTORS, "--ids", "{folder}/ids.csv", "--id-column", "galaxy_id"),
        r"has no galaxy_id among object_id, ra, dec",
        prepare=_array((2, 8)),
    ),
    BadInput(
        "encoder_import_embeddings_match_radius",
        (*_VECTORS, "--ids", "{folder}/ids.csv", "--match-radius", "-1"),
        r"--match-radius -1: give more than 0",
        prepare=_array((2, 8)),
    ),
    BadInput(
        "encoder_export_unknown",
        ("encoder", "export", "nobody", "--output", "{folder}/e.onnx"),
        r"no encoder is named 'nobody'",
    ),
    BadInput(
        "encoder_export_unknown_extension",
        ("encoder", "export", "nobody", "--output", "{folder}/e.h5"),
        r"e\.h5: the extension tells no format; use \.safetensors, \.onnx, \.pt",
    ),
    BadInput(
        "encoder_export_folder_that_is_not_there",
        ("encoder", "export", "nobody", "--output", "{folder}/nowhere/e.pt"),
        r"name a file in a folder that exists",
    ),
    BadInput(
        "encoder_export_without_output",
        ("encoder", "export", "nobody"),
        r"Missing option '--output'",
        exit_status=2,
    ),
]
