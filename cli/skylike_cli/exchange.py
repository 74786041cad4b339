"""``skylike encoder import`` and ``export``: Encoders and embeddings from elsewhere, and ours."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from skylike.errors import SettingsError
from skylike_cli import session

if TYPE_CHECKING:
    from skylike.embeddings.exchange.import_network import FileFormat as Known
    from skylike.embeddings.exchange.import_vectors import VectorImport


class FileFormat(StrEnum):
    """What a file of weights is."""

    AUTO = "auto"
    SKYLIKE = "skylike"
    MOCO = "moco"
    TORCHVISION = "torchvision"


class IdColumn(StrEnum):
    """How rows of embeddings tell their galaxy."""

    GALAXY_ID = "galaxy_id"
    OBJECT_ID = "object_id"
    POSITION = "position"


class Layer(StrEnum):
    """Layers of a network."""

    FEATURES = "features"
    PROJECTION = "projection"


def import_encoder(  # noqa: PLR0917 - Typer's options
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Weights: .pt of another machine, .safetensors, .ckpt of PyTorch Lightning, .pth "
            "of torchvision.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the encoder; default: the file's.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        FileFormat,
        typer.Option(
            help="What FILE is: skylike; moco, a momentum contrast (encoder_q.*), as the released "
            "checkpoint of Stein et al. 2021; torchvision, a ResNet."
        ),
    ] = FileFormat.AUTO,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="For weights of others: the recipe or NAME.toml that tells how pixels become the "
            "input; default: released for moco, color normalized as for ImageNet for torchvision."
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of weights: embeddings made elsewhere, .npy (n, d) or .parquet.",
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table or .npy that tells the galaxy of each row of --embeddings; a .parquet may "
            "tell it itself.",
        ),
    ] = None,
    id_column: Annotated[
        IdColumn | None,
        typer.Option(help="How rows tell their galaxy; default: the first of these there is."),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Columns that are not guessed: object_id=id_str,ra=RA,dec=DEC.")
    ] = "",
    vector_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a .parquet that holds the vectors, or a pattern of columns: 'feat_*'."
        ),
    ] = None,
    survey: Annotated[str | None, typer.Option(help="Survey of every object_id.")] = None,
    match_radius: Annotated[
        float, typer.Option(metavar="ARCSEC", help="Farthest match of a position with a galaxy.")
    ] = 1.0,
    components: Annotated[
        int | None, typer.Option(help="Principal components in a compact vector of --embeddings.")
    ] = None,
) -> None:
    """Enter an encoder, or embeddings, from a file; nothing in it is executed."""
    if (file is None) == (embeddings is None):
        raise SettingsError("give either a FILE of weights or --embeddings FILE")
    if file is not None:
        only_vectors = (ids, id_column, columns, vector_column, survey, components)
        if any(only_vectors):
            raise SettingsError(
                "--ids, --id-column, --columns, --vector-column, --survey and --components go with "
                "--embeddings"
            )
        _import_network(file, name, format, recipe)
        return
    if format is not FileFormat.AUTO or recipe is not None:
        raise SettingsError("--format and --recipe go with a FILE of weights, not --embeddings")
    from skylike.embeddings.exchange.import_vectors import VectorSource, import_vectors
    from skylike.embeddings.names import name_after
    from skylike.survey.column_names import parse_column_map

    source = VectorSource(
        embeddings or Path(),
        ids,
        vector_column=vector_column,
        way=id_column.value if id_column else None,
        columns=parse_column_map(columns),
        survey=survey,
        radius_arcsec=match_radius,
    )
    done = import_vectors(
        session.engine(),
        name or name_after(source.vectors),
        source,
        components=components,
        progress=session.progress(),
    )
    for line in _sentences(done):
        typer.echo(line)


def _import_network(file: Path, name: str | None, given: FileFormat, recipe: str | None) -> None:
    from skylike.embeddings.exchange.import_network import import_network

    done = import_network(
        session.engine(),
        file,
        folder=session.settings().home / "encoders",
        name=name,
        format=None if given is FileFormat.AUTO else cast("Known", given.value),
        recipe=recipe,
    )
    r = done.record
    fed = (r.origin or {}).get("recipe")
    as_what = f", fed as in recipe {fed}" if fed else ""
    typer.echo(
        f"{'Imported' if done.is_new else 'There is already'} encoder {r.name!r} "
        f"({r.architecture}, width {r.width:g}, {r.input} input, d = {r.dimension}; "
        f"{done.format} file{as_what}): {r.checkpoint}"
    )
    typer.echo(f"Next: skylike embed --encoder {r.name}")


def _sentences(done: "VectorImport") -> list[str]:
    report, counts = done.report, done.counts
    told = done.way.replace("position", "ra and dec")
    lines = [
        f"Encoder {report.encoder!r}: {counts.n_embedded:,} of {counts.n_rows:,} rows are of "
        f"galaxies of the catalog, told by {told}; {report.n_new:,} galaxies now, "
        f"{report.n_total:,} in all."
    ]
    left_out = (
        (counts.n_unnamed, "have no identifier or position"),
        (counts.n_unmatched, "are of galaxies that the catalog does not have"),
        (counts.n_doubles, "are of a galaxy that another row is nearer to, or came first for"),
        (counts.n_odd, "have no vector, or one of another length"),
        (counts.n_not_finite, "hold NaN or infinity"),
        (counts.n_zero, "are zero, which has no direction"),
    )
    lines += [f"Left out: {n:,} rows that {why}." for n, why in left_out if n]
    lines.append(
        f"Compact vectors: {report.components} principal components hold "
        f"{report.explained:.1%} of the variance."
    )
    if report.was_activated:
        lines.append(f"No encoder was active: searches use {report.encoder!r} now.")
    else:
        lines.append(f"Next: skylike encoder activate {report.encoder}")
    return lines


def export_encoder(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Encoder.")],
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="FILE.safetensors (weights and how to feed them), FILE.onnx (a graph from pixels "
            "to unit vectors), or FILE.pt (our own file).",
        ),
    ],
    layer: Annotated[
        Layer | None,
        typer.Option(help="Layer that embeddings are read from; default: the encoder's."),
    ] = None,
) -> None:
    """Write an encoder to a file that other programs read."""
    from skylike.embeddings import shipped
    from skylike.embeddings.exchange.export import export_encoder as export

    engine = session.engine()
    shipped.enter_if_needed(engine, session.settings().home / "encoders", name)
    done = export(engine, name, output, layer=layer.value if layer else None)
    typer.echo(
        f"Exported encoder {done.name!r} ({done.layer}, d = {done.dimension}): {done.path}, "
        f"{done.n_bytes / 1e6:.1f} MB"
    )
    typer.echo(f"SHA-256 {done.sha256}")
