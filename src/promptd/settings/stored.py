"""Sections about connections that are saved at run time, and the key that seals their settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from promptd.settings.forms import AnyPath, HttpUrl, Seconds, Section, Text


class VaultSettings(Section):
    """The key that seals the settings of stored connections. Change it with `promptd vault rotate`."""

    source: Literal["file", "environment", "keyring"] | None = Field(
        None,
        description="Where the key is kept: in a file that only the server's user may read, in the environment, or in the "
        "keyring of the operating system (needs `pip install 'promptd[keyring]'`). Default: the environment where `key` is "
        "given, else a file, which is made when the key is needed first.",
    )
    path: AnyPath | None = Field(None, description="The file. Default: `vault.key` in the home folder.")
    key: SecretStr | None = Field(
        None,
        description="A key as `promptd vault key` prints it, best given as `PROMPTD_VAULT_KEY`. To change it, put a fresh one "
        "and a comma in front, restart, run `promptd vault rotate`, and remove the old one.",
    )
    entry: Text | None = Field(
        None, description="Name of the keyring's entry. Default: `promptd` and the path of the home folder."
    )

    @property
    def kind(self) -> Literal["file", "environment", "keyring"]:
        """Where the key is kept."""
        return self.source or ("file" if self.key is None else "environment")

    @model_validator(mode="after")
    def _one_source(self) -> VaultSettings:
        if self.kind == "environment" and self.key is None:
            raise ValueError("a key beside `source: environment`")
        for key, kind in (("path", "file"), ("key", "environment"), ("entry", "keyring")):
            if getattr(self, key) is not None and self.kind != kind:
                raise ValueError(f"no `{key}`, because the key is kept elsewhere: {self.kind}")
        return self


class StoredConnectionsSettings(Section):
    """Connections that administrators save by the API, beside those of this file."""

    allow: tuple[HttpUrl, ...] = Field(
        (),
        description="Private or local addresses (`http://10.0.0.5:8080`) that they may call; public ones they may, and those "
        "of this file's connections.",
    )
    allow_private: bool = Field(
        False, description="Let them call any address that they name, also private and local ones."
    )
    test_seconds: Seconds = Field(30.0, description="How long the test of a connection may take.")
    callback_seconds: Seconds = Field(
        10.0, description="How long a plugin may take to read or write settings, or to answer a form."
    )
