"""What people get wrong with ``skylike neighbors``."""

from pathlib import Path

from bad_input.case import BadInput


def _not_a_scheduler_file(folder: Path) -> None:
    (folder / "scheduler.json").write_text('{"id": "Scheduler-1"}', encoding="utf-8")


def _truncated_scheduler_file(folder: Path) -> None:
    (folder / "scheduler.json").write_text('{"address": "tcp://10.', encoding="utf-8")


CASES = [
    BadInput("neighbors-without-encoder", ("neighbors", "build"), r"there is no encoder yet"),
    BadInput(
        "neighbors-unknown-encoder",
        ("neighbors", "build", "--encoder", "andromeda"),
        r"no encoder is named 'andromeda'",
    ),
    BadInput("neighbors-k-zero", ("neighbors", "build", "-k", "0"), r"k = 0: use 1 to 2000"),
    BadInput(
        "neighbors-k-too-large", ("neighbors", "build", "-k", "2049"), r"k = 2049: use 1 to 2000"
    ),
    BadInput(
        "neighbors-k-no-number",
        ("neighbors", "build", "-k", "many"),
        r"Invalid value for '-k'",
        exit_status=2,
    ),
    BadInput(
        "neighbors-unknown-band",
        ("neighbors", "build", "--band", "w1"),
        r"band 'w1' is unknown; use one of u, g, r",
    ),
    BadInput(
        "neighbors-negative-width",
        ("neighbors", "build", "--width", "-0.5"),
        r"window width -0.5: use magnitudes",
    ),
    BadInput("neighbors-width-nan", ("neighbors", "build", "--width", "nan"), r"window width nan"),
    BadInput(
        "neighbors-unknown-device",
        ("neighbors", "build", "--device", "gpu"),
        r"device 'gpu' is unknown; use auto, cpu, cuda",
    ),
    BadInput(
        "neighbors-gpu-that-is-not-there",
        ("neighbors", "build", "--device", "cuda:99"),
        r"device 'cuda:99' is not there",
    ),
    BadInput(
        "neighbors-publish-unknown-run",
        ("neighbors", "publish", "7"),
        r"there is no neighbor run 7; see `skylike neighbors status`",
    ),
    BadInput("neighbors-drop-unknown-run", ("neighbors", "drop", "7"), r"no neighbor run 7"),
    BadInput(
        "neighbors-verify-nothing-published",
        ("neighbors", "verify"),
        r"no neighbor run of this encoder is published",
    ),
    BadInput(
        "neighbors-verify-empty-sample",
        ("neighbors", "verify", "--sample", "0"),
        r"a sample of 0 galaxies",
    ),
    BadInput(
        "neighbors-verify-negative-seed",
        ("neighbors", "verify", "--seed", "-1"),
        r"seed -1: use 0 or more",
    ),
    BadInput(
        "neighbors-verify-unknown-run",
        ("neighbors", "verify", "--run", "7"),
        r"there is no neighbor run 7; see `skylike neighbors status`",
    ),
    BadInput(
        "neighbors-verify-unknown-format",
        ("neighbors", "verify", "--format", "xml"),
        r"Invalid value for '--format'",
        exit_status=2,
    ),
    BadInput("neighbors-compare-unknown-run", ("neighbors", "compare", "7"), r"no neighbor run 7"),
    BadInput(
        "neighbors-compare-no-number",
        ("neighbors", "compare", "old", "new"),
        r"Invalid value for 'RUN'",
        exit_status=2,
    ),
    BadInput(
        "neighbors-compare-without-run",
        ("neighbors", "compare"),
        r"Missing argument 'RUN'",
        exit_status=2,
    ),
    BadInput(
        "neighbors-compare-empty-sample",
        ("neighbors", "compare", "1", "2", "--sample", "0"),
        r"a sample of 0 galaxies: use at least 1, or --all",
    ),
    BadInput(
        "neighbors-update-nothing-published",
        ("neighbors", "update"),
        r"no neighbor run of this encoder is published; run `skylike neighbors build` first",
    ),
    BadInput(
        "neighbors-update-unknown-run",
        ("neighbors", "update", "--run", "7"),
        r"there is no neighbor run 7; see `skylike neighbors status`",
    ),
    BadInput(
        "neighbors-update-no-number",
        ("neighbors", "update", "--run", "last"),
        r"Invalid value for '--run'",
        exit_status=2,
    ),
    BadInput(
        "neighbors-update-unknown-device",
        ("neighbors", "update", "--device", "gpu"),
        r"device 'gpu' is unknown; use auto, cpu, cuda",
    ),
    BadInput(
        "neighbors-update-with-k",
        ("neighbors", "update", "-k", "10"),
        r"No such option",
        exit_status=2,
    ),
    BadInput(
        "neighbors-shard-zero",
        ("neighbors", "build", "--shard=0/8"),
        r"part '?0/8'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-beyond",
        ("neighbors", "build", "--shard=9/8"),
        r"part '?9/8'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-no-parts",
        ("neighbors", "build", "--shard=1/0"),
        r"part '?1/0'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-words",
        ("neighbors", "build", "--shard=first/last"),
        r"part '?first/last'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-one-number",
        ("neighbors", "build", "--shard=3"),
        r"part '?3'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-negative",
        ("neighbors", "build", "--shard=-1/8"),
        r"part '?-1/8'?: use i/n with 1 <= i <= n, such as 3/8",
    ),
    BadInput(
        "neighbors-shard-and-scheduler",
        ("neighbors", "build", "--shard", "1/2", "--scheduler", "tcp://127.0.0.1:8786"),
        r"--shard and --scheduler exclude each other",
    ),
    BadInput(
        "neighbors-scheduler-without-port",
        ("neighbors", "build", "--scheduler", "andromeda"),
        r"scheduler 'andromeda': use its address, such as tcp://host:8786, or its scheduler file",
    ),
    BadInput(
        "neighbors-scheduler-file-not-there",
        ("neighbors", "build", "--scheduler", "{folder}/scheduler.json"),
        r"scheduler file .*scheduler.json cannot be read \(No such file or directory\)",
    ),
    BadInput(
        "neighbors-scheduler-file-without-address",
        ("neighbors", "build", "--scheduler", "{folder}/scheduler.json"),
        r"scheduler.json is no scheduler file of Dask",
        prepare=_not_a_scheduler_file,
    ),
    BadInput(
        "neighbors-scheduler-file-truncated",
        ("neighbors", "build", "--scheduler", "{folder}/scheduler.json"),
        r"scheduler.json is no scheduler file of Dask",
        prepare=_truncated_scheduler_file,
    ),
    BadInput(
        "neighbors-scheduler-file-is-a-folder",
        ("neighbors", "build", "--scheduler", "{folder}/"),
        r"cannot be read \(Is a directory\); `dask scheduler --scheduler-file` writes one",
    ),
]
