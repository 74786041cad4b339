"""Settings: where data lie and which server holds the tables.

An option on the command line wins over SKYLIKE_*, that over skylike.toml, that over the default.
"""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from skylike.errors import SettingsError

SYSTEM_HOME = Path("/var/lib/skylike")
"""Data folder of root: PostgreSQL refuses to run as root; its user cannot enter root's own home."""


def _default_home() -> Path:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return SYSTEM_HOME
    return platformdirs.user_data_path("skylike")


class Settings(BaseSettings):
    """What a user may set once for all commands."""

    model_config = SettingsConfigDict(
        env_prefix="SKYLIKE_", toml_file="skylike.toml", extra="forbid", frozen=True
    )

    home: Path = Field(default_factory=_default_home)
    """Data folder: database, credentials, cutouts made by us, checkpoints, job files."""

    database_url: SecretStr | None = None
    """A PostgreSQL server to use instead of the embedded one: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."""

    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """Port of the embedded server; None takes a free one and keeps it."""

    device: str = "auto"
    """Where networks run: auto, cpu, cuda or cuda:N."""

    @field_validator("home", mode="before")
    @classmethod
    def _not_empty(cls, home: object) -> object:
        if home == "":
            # Path("") is the folder that we happen to be in.
            raise ValueError("the name of the data folder is empty")
        return home

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        try:
            return home.expanduser().absolute()
        except RuntimeError as error:
            raise ValueError(f"{home} names the home of a user who is not there") from error

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises
    ------
    SettingsError
        A value is out of range, or ``skylike.toml`` holds a key that is not ours.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"setting {name} (SKYLIKE_{name.upper()} or skylike.toml): {first['msg']}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"skylike.toml: {error}") from error
