"""``skylike catalog``: Load galaxies from survey files; look at what is there."""

import typer

app = typer.Typer(help="Load galaxies from survey files; look at what is there.", no_args_is_help=True)
