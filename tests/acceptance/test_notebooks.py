"""The notebooks and the examples of docs/python.md run on a small simulated survey."""

import inspect
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import sqlalchemy as sa
from astropy.io import fits
from astropy.table import Table
from nbclient import NotebookClient
from nbformat import NotebookNode
from sqlalchemy.engine import URL

import skylike
from skylike.catalog.load import load_files
from skylike.catalog.plan import LoadOptions
from skylike.database.engine import make_engine
from skylike.embeddings.checkpoint import file_sha256, save_encoder
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.store import activate_encoder
from skylike.images.add import add_images
from skylike.neighbors.build import build_neighbors
from skylike.neighbors.job import NeighborSettings
from skylike.simulation.simulate import simulate

DOCS = Path(__file__).resolve().parents[2] / "docs"

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))

GALAXIES = 120
"""Enough for a list of 20 neighbors each, and a few that are bright and blue."""

# zmq, under Jupyter, says that a kernel on 127.0.0.1 is reached without encryption.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def empty_url(server_url: URL, template_url: URL) -> Iterator[URL]:
    """A migrated, empty database of this module's own."""
    name = f"skylike_test_{uuid.uuid4().hex[:12]}"
    administrator = sa.create_engine(
        server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with administrator.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template_url.database}"))
    yield server_url.set(database=name)
    with administrator.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def survey_url(empty_url: URL, tmp_path_factory: pytest.TempPathFactory) -> URL:
    """A simulated survey, embedded by a network whose weights are random: nothing is trained."""
    folder = tmp_path_factory.mktemp("survey")
    engine = make_engine(empty_url)
    survey = simulate(folder / "survey", galaxies=GALAXIES, seed=1)
    load_files(engine, [survey.catalog], options=LoadOptions(survey="simulation"))
    add_images(engine, list(survey.images), folder=folder / "cutouts", survey="simulation")
    embed_with_random_weights(engine, folder)
    settings = NeighborSettings(k=50, band=None, width=None)
    build_neighbors(engine, "random", settings=settings, work_folder=folder / "jobs")
    engine.dispose()
    return empty_url


def embed_with_random_weights(engine: sa.Engine, folder: Path) -> None:
    recipe = TrainRecipe(
        name="random",
        architecture="resnet18",
        width=0.125,
        input="rgb",
        bin_pix=2,
        batch_size=16,
        queue=32,
    )
    network = build_network(recipe).eval()
    save_encoder(folder / "random.pt", network, recipe, preprocessing_of(recipe), {})
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO skylike.encoder (name, architecture, width, dimension, input, bands,"
                " pixel_scale, crop_pix, preprocessing, training, checkpoint, checkpoint_sha256,"
                " is_active) VALUES ('random', 'resnet18', 0.125, 64, 'rgb', '{g,r,z}', 0.262, 96,"
                " '{}', '{}', :file, :sha256, false)"
            ),
            {
                "file": str(folder / "random.pt"),
                "sha256": file_sha256(folder / "random.pt"),
            },
        )
    embed_galaxies(engine, "random", device="cpu")
    with engine.begin() as connection:
        activate_encoder(connection, "random")


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def test_notebooks_when_listed_then_there_are_some():
    assert "similar-galaxies.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_when_stored_then_is_valid_and_without_output(path: Path):
    notebook = nbformat.read(path, as_version=4)

    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert path.stat().st_size < 50_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_when_run_then_shows_tables_and_pictures(
    path: Path, survey_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", survey_url.render_as_string(hide_password=False))
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error::DeprecationWarning:skylike")
    notebook = nbformat.read(path, as_version=4)

    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = outputs(notebook)
    assert not [output.text for output in shown if output.get("name") == "stderr"]
    kinds = [kind for output in shown for kind in output.get("data", {})]
    assert kinds.count("image/png") >= 4
    assert kinds.count("text/html") >= 4
    if path.stem == "similar-galaxies":
        found = Table.read(tmp_path / "similar.vot")
        assert found["ra"].unit == "deg"
        assert len(fits.getdata(tmp_path / "similar.fits")) == len(found)


def test_examples_of_the_python_page_when_run_in_order_then_work(
    survey_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", survey_url.render_as_string(hide_password=False))
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path))
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}

    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)

    assert len(blocks) == 3
    assert capsys.readouterr().out.strip() == blocks[-1].partition("# ")[2].strip()


def test_names_on_the_python_page_when_looked_up_then_are_there():
    page = (DOCS / "python.md").read_text(encoding="utf-8")

    methods = set(re.findall(r"\bsky\.([a-z_]+)", page))
    of_answers = set(re.findall(r"`\.([a-z_]+)[`(]", page)) - {"npy"}
    arguments = set(re.findall(r"`([a-z_]+)`", page.partition("| argument")[2].partition("An ")[0]))

    assert [name for name in methods if not hasattr(skylike.Sky, name)] == []
    assert [name for name in of_answers if not hasattr(skylike.Similar, name)] == ["to_image"]
    assert set(inspect.signature(skylike.Sky.similar).parameters) - {"self"} == (
        arguments | {"invert_pictures"}
    ) - {"galaxy_id"}
