"""What people get wrong with ``skylike neighbors``."""

from bad_input.case import BadInput

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
]
