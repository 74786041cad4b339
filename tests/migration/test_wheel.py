"""The wheel brings migrations and SQL along, and finds them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from skylike.paths import schema_root


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "--target",
            "wheel",
            "--directory",
            str(folder),
        ],
        cwd=schema_root(),
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def names(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("part", ["migrations", "sql"])
def test_wheel_when_built_then_holds_the_same_files_as_the_checkout(unpacked: Path, part: str):
    assert names(unpacked / "skylike" / "_schema" / part) == names(schema_root() / part)


def test_wheel_when_built_then_holds_the_encoder_that_ships(unpacked: Path):
    folder = Path("skylike", "embeddings", "shipped")
    ours = schema_root() / "src" / folder / "default.pt"
    if not ours.is_file():
        pytest.skip("this checkout has no default.pt; `make encoder` makes it")

    assert (unpacked / folder / "default.pt").read_bytes() == ours.read_bytes()


def test_wheel_when_unpacked_then_holds_our_packages_only(unpacked: Path):
    tops = {path.name for path in unpacked.iterdir()}

    assert {"skylike", "skylike_cli"} < tops
    assert all(top.endswith(".dist-info") for top in tops - {"skylike", "skylike_cli"})
    assert (unpacked / "skylike" / "py.typed").is_file()


def test_wheel_when_imported_then_finds_its_own_schema(unpacked: Path, tmp_path: Path):
    code = (
        "from skylike.paths import schema_root; from skylike.database.migrate import head_revision;"
        "print(schema_root(), head_revision())"
    )

    # Without the site's .pth files: the editable install must not answer instead.
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    assert output[0] == str(unpacked / "skylike" / "_schema")
    assert output[1].isdigit()
