import numpy as np
import pytest

from skylike.errors import InputFileError, SettingsError
from skylike.search.query import MIN_SEPARATION_ARCSEC, Query, read_vectors


def test_default_separation_is_the_side_of_what_the_encoder_sees():
    assert round(MIN_SEPARATION_ARCSEC, 2) == 25.15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to search by"),
        ({"galaxies": (1,), "k": 0}, "k=0 is"),
        ({"galaxies": (1,), "k": 10_001}, "k=10001 is"),
        ({"galaxies": (1,), "min_separation": -1.0}, "min_separation=-1 is"),
        ({"galaxies": (1,), "min_separation": float("nan")}, "min_separation=nan is"),
        ({"galaxies": (1,), "position_limit": 0.0}, "position_limit=0 is"),
        ({"galaxies": (1,), "offset": -1}, "offset=-1 is"),
        ({"galaxies": (1,), "offset": 9_000, "k": 1_001}, "offset=9000.*k=1001.*0 to 8999"),
        ({"galaxies": (1, 2), "rejects": (3, 2)}, "galaxy 2 is given both"),
        ({"rejects": (3,)}, "nothing to search by"),
    ],
)
def test_query_when_impossible_names_the_option(options, message):
    with pytest.raises(SettingsError, match=message):
        Query(**options)


def test_query_reaches_to_the_end_of_its_page():
    assert Query(galaxies=(1,), k=10, offset=9_990).reach == 10_000


def test_read_vectors_when_one_or_several_gives_one_or_several(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3, dtype=np.float32))
    np.save(tmp_path / "two.npy", np.arange(6, dtype=np.int64).reshape(2, 3))

    (one,) = read_vectors(tmp_path / "one.npy")
    two = read_vectors(tmp_path / "two.npy")

    assert one.tolist() == [0, 1, 2]
    assert [row.tolist() for row in two] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a NumPy .npy file"),
        (b"hello, world", "not a NumPy .npy file"),
        (b"\x93NUMPY\x01\x00", "not a NumPy .npy file"),
    ],
)
def test_read_vectors_when_the_file_is_no_array_says_so(tmp_path, content, message):
    (tmp_path / "bad.npy").write_bytes(content)

    with pytest.raises(InputFileError, match=message):
        read_vectors(tmp_path / "bad.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["a"]), "not numbers"),
        (np.float64(1.0), "shape"),
        (np.empty((0, 3)), "shape"),
        (np.zeros((2, 2, 2)), "shape"),
    ],
)
def test_read_vectors_when_the_array_holds_no_vectors_says_so(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)

    with pytest.raises(InputFileError, match=message):
        read_vectors(tmp_path / "bad.npy")


def test_read_vectors_when_there_is_no_file_says_so(tmp_path):
    with pytest.raises(InputFileError, match=r"missing\.npy: cannot be read"):
        read_vectors(tmp_path / "missing.npy")


def test_read_vectors_when_it_is_an_archive_says_so(tmp_path):
    np.savez(tmp_path / "several.npz", a=np.ones(2))

    with pytest.raises(InputFileError, match="several arrays"):
        read_vectors(tmp_path / "several.npz")


def test_defaults_of_the_command_are_those_of_the_library():
    from inspect import signature

    from skylike_cli.search import search

    defaults = {name: p.default for name, p in signature(search).parameters.items()}
    query = Query(galaxies=(1,))

    assert float(defaults["min_separation"]) == query.min_separation
    assert float(defaults["position_limit"]) == query.position_limit
    assert defaults["k"] == query.k
    assert defaults["offset"] == query.offset
