"""``skylike embed``: Turn cutouts into embeddings."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.embeddings.extract import EmbedOutcome, EmbedReport


class _Layer(StrEnum):
    FEATURES = "features"
    PROJECTION = "projection"
    BOTH = "both"


class _Precision(StrEnum):
    FLOAT32 = "float32"
    BF16 = "bf16"


def embed(
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Encoder; default: the active or only one, else the one that ships with skylike."
        ),
    ] = None,
    layer: Annotated[
        _Layer | None,
        typer.Option(
            help="What to fill: the encoder, its projection (encoder NAME-projection), or both "
            "in one pass of the network."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    precision: Annotated[
        _Precision, typer.Option(help="What the network computes in; bf16 is for GPUs.")
    ] = _Precision.FLOAT32,
    batch_size: Annotated[
        int, typer.Option(help="Images that go through the network together.")
    ] = 256,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Embed the I-th of N parts only, as a task of an array."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler (tcp://host:port, or its file)."),
    ] = None,
    components: Annotated[
        int | None, typer.Option(help="Principal components in a compact vector.")
    ] = None,
    invert_pictures: Annotated[
        bool,
        typer.Option("--invert-pictures", help="Let a flux encoder take pictures, approximately."),
    ] = False,
) -> None:
    """Embed all galaxies that are new or whose cutout has changed, and publish them together.

    A killed run goes on where it was. Several processes may embed with one encoder at the same
    time: they share the work, and the last one publishes.
    """
    from skylike.devices import choose_device
    from skylike.embeddings.extract import EmbedOptions, embed_layers
    from skylike.jobs.shares import choose_share

    share = choose_share(shard, scheduler)
    wanted = device or session.settings().device
    if not scheduler:  # the workers of a cluster have devices of their own
        wanted = choose_device(wanted)
    options = EmbedOptions(
        batch_size=batch_size,
        invert_pictures=invert_pictures,
        precision=precision.value,
        components=components,
    )
    outcome = embed_layers(
        session.engine(),
        _enter_shipped(encoder) or encoder,
        layer=layer.value if layer else None,
        device=wanted,
        options=options,
        share=share,
        progress=session.progress(),
    )
    for line in _lines(outcome):
        typer.echo(line)


def _lines(outcome: "EmbedOutcome") -> list[str]:
    if not outcome.reports:
        return [
            f"{outcome.n_here:,} galaxies embedded here; {outcome.n_left:,} are left to other "
            "processes, the last of which publishes (`skylike embed` without --shard does both)."
        ]
    return [line for report in outcome.reports for line in _sentences(report)]


def _enter_shipped(encoder: str | None) -> str | None:
    """Enter the encoder that ships if it is to be used, say so, and return its name."""
    from skylike.embeddings import shipped

    folder = session.settings().home / "encoders"
    entered = shipped.enter_if_needed(session.engine(), folder, encoder)
    if entered is None:
        return None
    why = "No encoder was trained: " if encoder is None else ""
    typer.echo(f"{why}using {entered.name!r}, which ships with skylike.", err=True)
    return entered.name


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
