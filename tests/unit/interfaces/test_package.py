"""``import skylike``: light, and what it offers."""

import subprocess
import sys

import pytest

import skylike

HEAVY = ("numpy", "pandas", "pyarrow", "sqlalchemy", "astropy", "torch", "pydantic", "PIL")


def test_import_when_nothing_is_used_then_brings_nothing_heavy():
    code = f"import sys, skylike; print([name for name in {HEAVY!r} if name in sys.modules])"

    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert output.strip() == "[]"


def test_connect_when_loaded_then_brings_neither_torch_nor_pandas():
    code = "import sys, skylike; skylike.connect; print({'torch', 'pandas'} & set(sys.modules))"

    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert output.strip() == "set()"


@pytest.mark.parametrize("name", skylike.__all__)
def test_name_when_offered_then_is_there_and_listed(name: str):
    assert getattr(skylike, name) is not None
    assert name in dir(skylike)


def test_connect_when_its_module_was_imported_then_is_still_the_function():
    import skylike.connection

    assert callable(skylike.connect)
    assert skylike.SkylikeError.__module__ == "skylike.errors"


def test_name_when_there_is_none_then_is_an_attribute_error():
    with pytest.raises(AttributeError, match="conect_"):
        _ = skylike.conect_
