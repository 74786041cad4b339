"""What people get wrong with ``skylike encoder`` and ``skylike embed``."""

from pathlib import Path

from bad_input.case import BadInput


def _recipe(text: str):
    def prepare(folder: Path) -> None:
        (folder / "mine.toml").write_text(text, encoding="utf-8")

    return prepare


def _binary_recipe(folder: Path) -> None:
    (folder / "mine.toml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")


_MINE = ("encoder", "train", "--recipe", "{folder}/mine.toml")

CASES = [
    BadInput(
        "encoder_train_unknown_recipe",
        ("encoder", "train", "--recipe", "huge"),
        r"recipe 'huge' is unknown; use paper, small or a file NAME\.toml",
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
        r"no encoder is named 'nobody'; train one with `skylike encoder train`",
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
        "embed_without_encoder",
        ("embed",),
        r"no encoder yet; train one with `skylike encoder train`",
    ),
    BadInput(
        "embed_unknown_encoder", ("embed", "--encoder", "nobody"), r"no encoder is named 'nobody'"
    ),
    BadInput("embed_no_batch", ("embed", "--batch-size", "0"), r"--batch-size 0 is not above 0"),
    BadInput("embed_unknown_device", ("embed", "--device", "gpu"), r"device 'gpu' is unknown"),
]
