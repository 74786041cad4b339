"""``skylike encoder``: Train, list, activate encoders."""

import typer

app = typer.Typer(help="Train, list, activate encoders.", no_args_is_help=True)
