"""Rules of the layout that import-linter cannot express."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import skylike
from skylike.paths import schema_root

PACKAGE = Path(skylike.__file__).parent
QUERIES = sorted((schema_root() / "sql" / "queries").glob("*.sql"))

DRIVERS = {"sqlalchemy", "psycopg", "pgvector", "pgpq", "alembic"}
"""Packages that only a store imports from."""

HANDLES = {"Connection", "Engine"}
"""What an orchestrating module passes on to its store: it may name these types."""

STORE_ONLY = {"skylike.database." + name for name in ("copy", "partitions", "sql_files", "tables")}
"""Our own modules that statements are made with."""

STATEMENTS = {"select", "text", "insert", "update", "delete", "exists"}
RUNNING = {"execute", "executemany", "exec_driver_sql", "scalar", "scalars", "cursor", "read_sql"}


def is_store(path: Path) -> bool:
    folder, name = path.parent.name, path.stem
    return folder == "database" or name == "store" or name.startswith("store_")


def imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The modules that a node imports, each with the name taken from it."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            yield node.module, alias.name
            yield f"{node.module}.{alias.name}", ""


def sql_in(source: str, *, may_express: bool = False) -> list[str]:
    """What a module outside the stores does with SQL; ``may_express`` allows column expressions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module, name in imported(node):
            root = module.partition(".")[0]
            if may_express and root == "sqlalchemy" and name in STATEMENTS:
                found.append(f"line {node.lineno}: imports {name}")
            if may_express and root != "psycopg":
                continue
            if root in DRIVERS and name not in HANDLES and module not in qualified(HANDLES):
                found.append(f"line {node.lineno}: imports {module} {name}".rstrip())
            if module in STORE_ONLY:
                found.append(f"line {node.lineno}: imports {module}")
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, called = node.func.value, node.func.attr
        module = owner.id if isinstance(owner, ast.Name) else ""
        if module == "pa":  # Arrow has scalars too
            continue
        if called in RUNNING or (module == "sa" and called in STATEMENTS):
            found.append(f"line {node.lineno}: calls {ast.unparse(node.func)}")
    return found


def qualified(names: set[str]) -> set[str]:
    return {f"sqlalchemy.{name}" for name in names}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if not is_store(path)],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_a_module_that_is_no_store_neither_makes_nor_runs_sql(path: Path):
    # Cuts are expressions over columns, which stores put into their statements.
    assert sql_in(path.read_text(encoding="utf-8"), may_express=path.parent.name == "cuts") == []


@pytest.mark.parametrize(
    "source",
    [
        "import sqlalchemy as sa",
        "from sqlalchemy import Connection, select",
        "from sqlalchemy.dialects import postgresql",
        "from psycopg import sql",
        "from skylike.database import tables",
        "from skylike.database.tables import galaxy",
        "from skylike.database.sql_files import statement",
        "from skylike.database.copy import copy_into",
        "connection.execute(ready)",
        "def f(c):\n    return c.connection.cursor()",
        "frame = pd.read_sql('SELECT 1', engine)",
    ],
)
def test_the_check_sees_sql(source: str):
    assert sql_in(source)


@pytest.mark.parametrize(
    "source",
    ["import sqlalchemy as sa\nsa.select(x)", "from sqlalchemy import text", "import psycopg"],
)
def test_the_check_sees_statements_among_expressions(source: str):
    assert sql_in(source, may_express=True)


def test_the_check_lets_handles_and_expressions_pass():
    assert sql_in("from sqlalchemy import Connection, Engine\nwith engine.connect(): pass") == []
    assert sql_in("import sqlalchemy as sa\nsa.and_(a, b)", may_express=True) == []


def test_there_are_stores_and_queries():
    assert sum(is_store(path) for path in PACKAGE.rglob("*.py")) > 10
    assert len(QUERIES) > 10


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_begins_with_its_purpose_and_its_parameters(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))]
    body = "\n".join(line.partition("--")[0] for line in lines[len(head) :])
    assert re.match(r"-- [A-Z].{15,}", head[0])
    explained = [line for line in head if re.match(r"--   :", line)]
    described = set(re.findall(r":([a-z_]+)", " ".join(explained)))
    assert described == set(re.findall(r"(?<!:):([a-z_]+)", body))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_is_run_by_the_store_of_its_stage(path: Path):
    stage = path.stem.partition("_")[0]
    stores = [store for store in (PACKAGE / stage).glob("*.py") if is_store(store)]
    assert any(f'statement("{path.stem}")' in store.read_text(encoding="utf-8") for store in stores)
