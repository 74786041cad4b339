"""Files of embeddings: what they hold, row by row, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skylike.embeddings.exchange.vector_files import BATCH_ROWS, open_vectors
from skylike.errors import SettingsError, SurveyFileError

VECTORS = np.random.default_rng(0).normal(size=(BATCH_ROWS + 7, 6)).astype(np.float32)


def read(path: Path, column: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    batches = list(open_vectors(path, column=column).batches())
    return (
        np.concatenate([batch.vectors for batch in batches]),
        np.concatenate([batch.is_odd for batch in batches]),
    )


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "<i2"])
def test_array_when_read_then_is_what_was_saved(tmp_path: Path, dtype: str):
    values = (VECTORS * 100).astype(dtype)
    np.save(tmp_path / "v.npy", values)

    file = open_vectors(tmp_path / "v.npy")
    vectors, is_odd = read(tmp_path / "v.npy")

    assert (file.n_rows, file.dimension, file.has_columns) == (len(values), 6, False)
    np.testing.assert_array_equal(vectors, values)
    assert not is_odd.any()


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 6)])
def test_lists_when_read_then_are_what_was_saved(tmp_path: Path, kind: pa.DataType):
    column = pa.array(VECTORS.tolist(), kind)
    table = pa.table({"id": pa.array(range(len(VECTORS))), "embedding": column})
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=100)

    vectors, is_odd = read(tmp_path / "v.parquet")

    np.testing.assert_array_equal(vectors, VECTORS)
    assert not is_odd.any()


def test_lists_when_missing_or_of_another_length_then_are_odd(tmp_path: Path):
    column = pa.array([None, [1.0, 2.0], [3.0], [], [None, 5.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"v": column}), tmp_path / "v.parquet")

    vectors, is_odd = read(tmp_path / "v.parquet")

    assert is_odd.tolist() == [True, False, True, True, False]
    np.testing.assert_array_equal(vectors[1], [1, 2])
    np.testing.assert_array_equal(vectors[4], [np.nan, 5])
    assert np.isnan(vectors[is_odd]).all()


def test_columns_when_of_one_number_each_then_are_joined_in_the_order_of_their_numbers(
    tmp_path: Path,
):
    names = [f"feat_{n}" for n in range(12)]
    table = pa.table({name: pa.array([float(n)]) for n, name in reversed([*enumerate(names)])})
    pq.write_table(table, tmp_path / "v.parquet")

    vectors, _ = read(tmp_path / "v.parquet", "feat_*")

    assert vectors.tolist() == [list(range(12))]


def test_table_when_it_leaves_open_what_the_vectors_are_then_asks(tmp_path: Path):
    lists = pa.array([[1.0, 2.0]])
    pq.write_table(pa.table({"a": lists, "b": lists}), tmp_path / "two.parquet")
    pq.write_table(pa.table({"feat_0": [1.0], "feat_1": [1.0]}), tmp_path / "none.parquet")

    with pytest.raises(SettingsError, match="a, b hold vectors; say which with --vector-column"):
        open_vectors(tmp_path / "two.parquet")
    with pytest.raises(SettingsError, match="name them with --vector-column"):
        open_vectors(tmp_path / "none.parquet")
    with pytest.raises(SettingsError, match="names no vectors; the columns are feat_0, feat_1"):
        open_vectors(tmp_path / "none.parquet", column="pca_*")
    assert open_vectors(tmp_path / "two.parquet", column="b").dimension == 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4001), dtype=np.float16), "vectors of 4,001 numbers .* 2 to 4,000 can"),
        (np.zeros((3, 1)), "vectors of 1 numbers"),
        (np.zeros((0, 8)), "holds no vectors"),
        (np.zeros(8), r"shape \(8,\) and type float64 is no table of vectors"),
        (np.zeros((2, 8), dtype=complex), "type complex128"),
        (np.array([[object()] * 2]), "holds Python objects, which would have to be executed"),
    ],
)
def test_array_when_it_cannot_be_embeddings_then_is_refused(
    tmp_path: Path, array: np.ndarray, message: str
):
    np.save(tmp_path / "v.npy", array, allow_pickle=True)

    with pytest.raises(SurveyFileError, match=rf"v\.npy: .*{message}"):
        open_vectors(tmp_path / "v.npy")


def test_longest_vectors_that_can_be_stored_are_taken(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.ones((2, 4000), dtype=np.float16))

    assert open_vectors(tmp_path / "v.npy").dimension == 4000


def test_file_when_cut_or_of_another_kind_then_is_refused(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, VECTORS)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SurveyFileError, match=r"v\.npy: .*cut short"):
        open_vectors(path)

    pq.write_table(pa.table({"v": pa.array([[1.0, 2.0]])}), tmp_path / "v.parquet")
    (tmp_path / "v.parquet").write_bytes((tmp_path / "v.parquet").read_bytes()[:-20])
    with pytest.raises(SurveyFileError, match=r"v\.parquet: .*cut short"):
        open_vectors(tmp_path / "v.parquet")

    (tmp_path / "v.csv").write_text("1,2,3\n")
    with pytest.raises(SurveyFileError, match="neither a NumPy array nor a Parquet table"):
        open_vectors(tmp_path / "v.csv")
    with pytest.raises(SurveyFileError, match="no such file"):
        open_vectors(tmp_path / "nothing.npy")
