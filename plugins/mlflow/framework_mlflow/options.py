"""The options of ``registry`` and of its ``retention``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from framework.options import Options, Secret, SecretUrl


class Retention(Options):
    """The pairs of each name that ``run=prune`` keeps: pairs under an alias, the ``last`` newest,
    those that had an alias within ``days``.

    ``upload_hours``: files that were stored for a pair that is still not complete after so long are
    those of a process that was killed; ``run=prune`` and ``run=verify`` remove them.
    """

    last: int = Field(default=10, ge=1)
    days: int = Field(default=90, ge=0)
    upload_hours: float = Field(default=24, ge=0)


class Sign(Options):
    """``key``: the private key that signs each pair when it is registered, and each entry of the
    history, as the path of a PEM file, or its text from the environment: ``${oc.env:SIGN_KEY}``.
    Null signs nothing. ``certificate``: the certificate of that key, as the path of a PEM file or
    its text: the signer's own first, then each that issued the one before it, up to the authority.
    """

    key: Secret | None = None
    certificate: str | None = None

    @model_validator(mode="after")
    def _certificate_of_a_key(self) -> Self:
        if self.certificate is not None and self.key is None:
            raise ValueError("certificate: does nothing without key; name its private key there")
        return self


class MlflowOptions(Options):
    """``tracking_uri``: MLflow's database or server. ``artifact_location``: where pairs are kept: a
    folder, or a URI such as ``s3://bucket/path``.

    ``ledger``: the database that decides which pairs and aliases there are. As SQLite it must be
    another file than MLflow's; on PostgreSQL (``postgresql+psycopg://…``) it may be the same
    database. ``experiment``: MLflow's, of the runs. ``cache``: where pairs of a remote artifact
    store are kept. ``environment``: whether a pair is refused, or only warned about, where Python's
    minor version, or the major version of numpy or of the model's library, is not that of its
    training. ``trust``: public keys and certificates of authorities, as paths of PEM files or
    their texts: one of these keys, or one that such an authority has certified, must have signed a
    pair, and the newest move of an alias; empty: signatures are not looked at. ``retired``: public
    keys, or signers' certificates, that sign no more: what they signed loads, and an alias goes to
    one of their pairs only by ``version=N``. ``sign``: what signs new pairs and the history.
    ``retention``: what ``run=prune`` keeps.
    """

    tracking_uri: SecretUrl = "sqlite:///${paths.state}/mlflow.db"
    artifact_location: str = "${paths.state}/artifacts"
    ledger: SecretUrl = "sqlite:///${paths.state}/ledger.db"
    experiment: str = "${name}"
    cache: str = "${paths.state}/cache"
    environment: Literal["refuse", "warn"] = "refuse"
    retention: Retention = Retention()
    sign: Sign = Sign()
    trust: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _retired_besides_trusted(self) -> Self:
        if self.retired and not self.trust:
            raise ValueError(
                "retired: does nothing without trust; name the keys that sign today there"
            )
        return self
