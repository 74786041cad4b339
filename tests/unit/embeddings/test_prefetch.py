"""Reading ahead keeps order, errors and an early end."""

import threading

import pytest

from skylike.embeddings.prefetch import prefetch


def test_items_come_in_order():
    assert list(prefetch(range(50))) == list(range(50))


def test_an_error_is_raised_where_the_item_would_have_come():
    def items():
        yield 1
        raise ValueError("broken")

    reader = prefetch(items())

    assert next(reader) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_leaving_early_ends_the_thread():
    reader = prefetch(iter(range(1000)), depth=1)
    next(reader)

    reader.close()

    assert not [t for t in threading.enumerate() if t.name == "skylike-prefetch"]
