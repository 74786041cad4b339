"""``skylike simulate``: Draw a survey whose truth is known."""

from pathlib import Path
from typing import Annotated

import typer

from skylike_cli import session


def simulate(
    galaxies: Annotated[int, typer.Option(help="How many galaxies.")],
    output: Annotated[Path, typer.Option(help="Folder for cutouts, catalog and truth.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same pixels.")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one for each core.")
    ] = None,
    center: Annotated[
        str, typer.Option(metavar='"RA DEC"', help="Center of the field, degrees or sexagesimal.")
    ] = "190 25",
    radius: Annotated[
        float | None,
        typer.Option(help="Radius of the field in degrees; default: 8, or more for many galaxies."),
    ] = None,
    mag_z_range: Annotated[
        tuple[float, float],
        typer.Option(help="Bright and faint limit in z; counts rise between them."),
    ] = (14.0, 20.0),
) -> None:
    """Draw galaxies of known classes with GalSim, in the file formats of the Legacy Surveys."""
    from skylike.cuts.coordinates import parse_position
    from skylike.simulation.simulate import default_field
    from skylike.simulation.simulate import simulate as simulate_survey

    place = parse_position(center)
    survey = simulate_survey(
        output,
        galaxies=galaxies,
        seed=seed,
        workers=workers,
        field=default_field(
            galaxies, center=(place.ra, place.dec), radius=radius, mag_z_range=mag_z_range
        ),
        progress=session.progress(),
    )
    for name, count in survey.counts.items():
        typer.echo(f"{name:<14}{count:>10,}")
    typer.echo(f"catalog  {survey.catalog}\ntruth    {survey.truth}")
    typer.echo(f"cutouts  {survey.images[0].parent} ({len(survey.images)} files)")
    images = survey.images[0].parent
    typer.echo(f"Next: skylike catalog load {survey.catalog}\n      skylike images add {images}")
