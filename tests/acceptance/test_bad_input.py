"""Every case of the bad-input tables: one line on stderr, the right status, no traceback."""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

import bad_input
from bad_input.case import BadInput


def all_cases() -> list[BadInput]:
    cases: list[BadInput] = []
    for module in pkgutil.iter_modules(bad_input.__path__, "bad_input."):
        cases += getattr(importlib.import_module(module.name), "CASES", [])
    return cases


def test_the_table_is_large_enough_and_names_are_unique():
    names = [case.name for case in all_cases()]

    assert len(names) >= 40
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_bad_input_is_answered_with_one_line(
    case: BadInput,
    database_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from skylike_cli import main, session

    case.prepare(tmp_path)
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", database_url.render_as_string(hide_password=False))
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value.replace("{folder}", str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    arguments = [argument.replace("{folder}", str(tmp_path)) for argument in case.arguments]
    monkeypatch.setattr(sys, "argv", ["skylike", *arguments])
    session.settings.cache_clear()

    with pytest.raises(SystemExit) as exit_info:
        main.run()

    session.settings.cache_clear()
    error = capsys.readouterr().err
    assert exit_info.value.code == case.exit_status, error
    assert "Traceback" not in error
    assert re.search(case.error, " ".join(error.split())), error
    if case.exit_status == 1:
        assert len([line for line in error.splitlines() if "Error: " in line]) == 1, error
