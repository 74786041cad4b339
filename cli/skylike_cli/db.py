"""``skylike db``: Start, stop and look after the database."""

import typer

app = typer.Typer(help="Start, stop and look after the database.", no_args_is_help=True)
