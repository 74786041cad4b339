"""``skylike neighbors``: Compute and publish neighbor lists."""

import typer

app = typer.Typer(help="Compute and publish neighbor lists.", no_args_is_help=True)
