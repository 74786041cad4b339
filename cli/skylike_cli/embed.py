"""``skylike embed``: Turn cutouts into embeddings."""

from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.embeddings.extract import EmbedReport


def embed(
    encoder: Annotated[
        str | None, typer.Option(help="Encoder; default: the active or only one.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    batch_size: Annotated[
        int, typer.Option(help="Images that go through the network together.")
    ] = 256,
    components: Annotated[
        int | None, typer.Option(help="Principal components in a compact vector.")
    ] = None,
    invert_pictures: Annotated[
        bool,
        typer.Option("--invert-pictures", help="Let a flux encoder take pictures, approximately."),
    ] = False,
) -> None:
    """Embed all galaxies that are new or whose cutout has changed, and publish them together."""
    from skylike.devices import choose_device
    from skylike.embeddings.extract import embed_galaxies

    report = embed_galaxies(
        session.engine(),
        encoder,
        device=choose_device(device or session.settings().device),
        batch_size=batch_size,
        components=components,
        invert_pictures=invert_pictures,
        progress=session.progress(),
    )
    for line in _sentences(report):
        typer.echo(line)


def _sentences(report: "EmbedReport") -> list[str]:
    axes = "new" if report.is_new_basis else "kept"
    lines = [
        f"Encoder {report.encoder!r}: {report.n_new:,} galaxies embedded now, "
        f"{report.n_total:,} in all.",
        f"Compact vectors: {report.components} principal components ({axes}) hold "
        f"{report.explained:.1%} of the variance.",
    ]
    if report.n_removed:
        lines.append(
            f"{report.n_removed:,} embeddings were removed: the image is gone or shows nothing now."
        )
    if report.n_degenerate:
        lines.append(
            f"{report.n_degenerate:,} galaxies have no embedding: their image shows nothing, "
            "or the network gives it no direction."
        )
    if report.n_pictures_left:
        lines.append(
            f"{report.n_pictures_left:,} galaxies have pictures only, which this encoder of flux "
            "passes by (--invert-pictures takes them, approximately)."
        )
    if report.n_inverted:
        lines.append(
            f"{report.n_inverted:,} pictures were turned into fluxes; "
            "embedding.is_inverted marks them."
        )
    if report.was_activated:
        lines.append(f"No encoder was active: searches use {report.encoder!r} now.")
    return lines
