"""Every block of the README does what it says, on a machine where the demo has run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line]


def test_blocks_when_counted_then_all_are_of_a_kind_that_is_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    openings = re.findall(r"^```(\w*)$", text, flags=re.MULTILINE)

    assert [kind for kind in openings if kind] == openings[::2]
    assert set(openings[::2]) == {"sh", "bash", "sql", "python"}


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines()])
def test_set_up_line_when_given_to_its_tool_then_is_known(line: str):
    command, *arguments = shlex.split(line)
    if command == "make":
        done = subprocess.run(
            ["make", "--dry-run", *arguments], cwd=ROOT, check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr
    else:
        # `make install` puts the environment there; its recipe names the folder.
        assert line == "source .venv/bin/activate"
        assert ".venv" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_search_when_typed_as_in_the_readme_then_answers_with_a_sheet(demo_machine):
    plain, explained = [
        line for line in shell_lines() if line.startswith("skylike search --galaxy")
    ]

    done = demo_machine.run(*shlex.split(plain)[1:])

    assert "similarity" in done.stdout
    with Image.open(demo_machine.folder / "like-5.png") as sheet:
        assert min(sheet.size) > 300
    done = demo_machine.run(*shlex.split(explained)[1:])
    assert "unlike galaxy 7" in done.stdout
    assert "route filter: exact" in done.stderr


def run_by_psql(demo_machine, statement: str) -> list[list[str]]:
    (line,) = [line for line in shell_lines() if line.startswith("psql")]
    done = subprocess.run(
        ["bash", "-ec", f"{line} --no-psqlrc -tA -v ON_ERROR_STOP=1"],
        input=statement,
        text=True,
        check=True,
        capture_output=True,
        env=demo_machine.environment,
    )
    return [row.split("|") for row in done.stdout.splitlines()]


def test_similar_to_when_run_by_psql_as_in_the_readme_then_gives_ranked_galaxies(demo_machine):
    statement, _ = blocks("sql")

    rows = run_by_psql(demo_machine, statement)

    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows
    assert all(float(row[5]) < 19.5 for row in rows)


def test_neighbors_when_run_by_psql_as_in_the_readme_then_are_inside_the_cut(demo_machine):
    _, statement = blocks("sql")

    rows = run_by_psql(demo_machine, statement)

    assert rows
    ((mag_r, g_r),) = demo_machine.sql(
        "SELECT mag_r, mag_g - mag_r FROM galaxy WHERE galaxy_id = 5"
    )
    assert all(float(row[5]) < float(mag_r) and float(row[6]) < float(g_r) for row in rows)
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)


def test_python_when_run_as_in_the_readme_then_prints_a_table(demo_machine):
    (code,) = blocks("python")

    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=demo_machine.folder,
        env=demo_machine.environment,
    )

    assert "other_g_r" in done.stdout
    assert "Empty" not in done.stdout


def test_own_survey_when_loaded_as_in_the_readme_then_ends_in_a_votable(demo_machine, machine):
    simulated = demo_machine.folder / "demo-output" / "survey"
    shutil.copy(next(simulated.glob("sweep*.fits")), machine.folder / "sweep-140p000-150p005.fits")
    (machine.folder / "cutouts").mkdir()
    for path in simulated.rglob("*.h5"):
        shutil.copy(path, machine.folder / "cutouts")
    lines = [line for line in shell_lines() if line.startswith("skylike ")]
    own = lines[
        lines.index(next(line for line in lines if line.startswith("skylike catalog load"))) :
    ]
    ra, dec = machine_position(demo_machine)
    with Image.open(demo_machine.folder / "demo-output" / "ring.png") as picture:
        picture.convert("RGB").save(machine.folder / "my-galaxy.jpg")

    for line in own:
        arguments = shlex.split(line.replace("13:29:52.7 +47:11:43", f"{ra} {dec}"))[1:]
        if arguments[:2] == ["encoder", "train"]:
            arguments += ["--epochs", "1"]
        machine.run(*arguments)

    assert (machine.folder / "like.vot").read_bytes().startswith(b"<?xml")


def machine_position(machine) -> tuple[str, str]:
    """The place of a galaxy with an embedding; nobody can simulate M51."""
    ((ra, dec),) = machine.sql(
        'SELECT ra, "dec" FROM galaxy JOIN embedding USING (galaxy_id) ORDER BY galaxy_id LIMIT 1'
    )
    return ra, dec


def test_environment_variables_when_named_in_the_readme_then_are_settings():
    from skylike.settings import Settings

    named = set(re.findall(r"SKYLIKE_([A-Z_]+)", (ROOT / "README.md").read_text(encoding="utf-8")))

    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_links_when_they_are_to_files_then_the_files_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", text)

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_demo_when_run_then_shows_three_answers_with_sql_and_precision(demo_machine):
    output = demo_machine.demo_output

    assert output.count("The same in SQL:") == 3
    for kind in ("ring", "merger", "lens"):
        with Image.open(demo_machine.folder / "demo-output" / f"{kind}.png") as sheet:
            assert min(sheet.size) > 300
    assert "Precision@10 by class" in output
    assert "By the encoder 'default' that ships with skylike, trained without labels on" in output
    assert "skylike db stop" in output


def test_encoder_when_the_demo_has_run_then_is_the_one_that_ships(demo_machine):
    encoders = demo_machine.sql("SELECT name, source, is_active FROM encoder")

    assert encoders == [["default", "shipped", "t"]]


def test_demo_when_run_again_then_does_nothing_twice(demo_machine):
    before = demo_machine.sql("SELECT max(galaxy_id), count(*) FROM galaxy")
    runs = demo_machine.sql("SELECT run_id, state FROM neighbor_run ORDER BY run_id")

    demo_machine.run("demo", "--galaxies", "240", "--output", "demo-output")

    assert demo_machine.sql("SELECT max(galaxy_id), count(*) FROM galaxy") == before
    assert demo_machine.sql("SELECT run_id, state FROM neighbor_run ORDER BY run_id") == runs


def test_demo_when_the_catalog_is_somebody_elses_then_refuses(demo_machine, machine):
    positions = machine.folder / "mine.csv"
    positions.write_text("ra,dec\n10,20\n")
    machine.run("catalog", "load", str(positions))

    done = machine.run("demo", "--galaxies", "240", exit_status=1)

    assert "mine" in done.stderr
    assert "SKYLIKE_HOME" in done.stderr
