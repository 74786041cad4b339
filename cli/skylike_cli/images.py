"""``skylike images``: Add cutouts from files, or cut them from bricks."""

import typer

app = typer.Typer(help="Add cutouts from files, or cut them from bricks.", no_args_is_help=True)
