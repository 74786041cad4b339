"""Enter the encoder that ships with skylike in the database, once."""

from pathlib import Path

from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings import store
from skylike.embeddings.shipped import files
from skylike.embeddings.store import EncoderRecord


def enter(engine: Engine, folder: Path) -> EncoderRecord:
    """Enter the encoder that ships, or find it where it was entered before.

    Its name is ``default``. Where that name belongs to another encoder (one that an earlier version
    shipped, or one of the user's) it is ``default-`` and the first 8 digits of the file's SHA-256:
    an encoder never changes under the embeddings that were made with it.

    Parameters
    ----------
    folder
        Where encoders are kept; the file is copied there, so that the next version of the package
        takes nothing away.

    Raises
    ------
    CheckpointError
        The file is missing in this installation or damaged, or cannot be copied.
    """
    digest = files.sha256()
    with connect(engine) as connection:
        entered = _find(connection, digest)
    if entered is None:
        columns = _columns(files.path(), digest)  # takes seconds, thus before the lock
        with engine.begin() as connection:
            store.lock_activation(connection)  # another process may do the same
            entered = _find(connection, digest)
            if entered is None:
                return _insert(connection, columns, folder, digest)
    files.restore(entered.network_file, digest)
    return entered


def enter_if_needed(engine: Engine, folder: Path, name: str | None) -> EncoderRecord | None:
    """Enter the encoder that ships where it is asked for or no other is there to be used.

    Parameters
    ----------
    folder
        As for :func:`enter`.
    name
        The encoder that is asked for; None for whatever there is.

    Returns
    -------
    EncoderRecord or None
        The encoder, if it was entered now; None where nothing was to be done: encoders are there,
        or another name is meant.

    Raises
    ------
    CheckpointError
        As :func:`enter`.
    """
    with connect(engine) as connection:
        records = store.fetch_encoders(connection)
    is_first = all(record.source == "embeddings" for record in records)  # none has a network
    is_wanted = is_first if name is None else name == available_name(records)
    return enter(engine, folder) if is_wanted else None


def available_name(records: list[EncoderRecord]) -> str | None:
    """Return the name that the encoder would be entered under beside these.

    None where it is among them, or where this installation has none.
    """
    if not files.is_there():
        return None
    digest = files.sha256()
    if _among(records, digest) is not None:
        return None
    is_taken = any(record.name == files.NAME for record in records)
    return f"{files.NAME}-{digest[:8]}" if is_taken else files.NAME


def _find(connection: Connection, digest: str) -> EncoderRecord | None:
    return _among(store.fetch_encoders(connection), digest)


def _among(records: list[EncoderRecord], digest: str) -> EncoderRecord | None:
    for record in records:
        is_same = record.checkpoint_sha256 == digest and record.layer == "features"
        if is_same and record.source == "shipped":
            return record
    return None


def _insert(
    connection: Connection, columns: dict[str, object], folder: Path, digest: str
) -> EncoderRecord:
    name = available_name(store.fetch_encoders(connection)) or files.NAME
    store.check_name_is_free(connection, name)
    copy = files.copy_into(folder, digest)
    store.insert_encoder(connection, {**columns, "name": name, "checkpoint": str(copy)})
    return store.fetch_encoder(connection, name)


def _columns(path: Path, digest: str) -> dict[str, object]:
    # torch takes seconds to import, and `skylike encoder list` does without.
    from skylike.embeddings.checkpoint import load_encoder  # noqa: PLC0415
    from skylike.embeddings.encoder_columns import encoder_columns  # noqa: PLC0415

    encoder = load_encoder(path, sha256=digest)
    columns = encoder_columns(
        encoder.recipe, encoder.preprocessing, encoder.training, dimension=encoder.dimension
    )
    return {**columns, "checkpoint_sha256": digest, "source": "shipped"}
