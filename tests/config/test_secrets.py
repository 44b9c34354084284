"""What counts as a secret, what is recorded of it, and who may read a text that an earlier version
recorded with it.
"""

from __future__ import annotations

import logging
import pickle
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from framework import secrets
from framework.config.catalog import Plugins
from framework.config.config import Config, build_config
from framework.config.literals import declared
from framework.config.recorded import recorded_config
from framework.config.written import write
from framework.errors import ConfigError, DataError, one_line
from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options, Secret, SecretUrl
from framework.plugins.components import Components
from framework.plugins.composition import register
from framework.plugins.discovery import load_plugins
from framework.secrets import looks_secret, masked, remember, secrets_in, variables

CONF = str(Path(__file__).parents[2] / "conf")


class CloudOptions(Options):
    """Of a plugin that somebody else wrote. ``pin``: a secret by its type alone."""

    pin: Secret | None = None
    place: SecretUrl | None = None
    tokens: int = 3
    tables: dict[str, str] = {}  # noqa: RUF012  pydantic copies it


class Cloud:
    @hookimpl
    def components(self) -> list[Component]:
        return [Component("compute", "cloud", "nowhere:Cloud", CloudOptions, "somebody's cluster")]


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test remembers, the next does not."""
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(secrets, "_pattern", None)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(extra=[Cloud()])


def _config(plugins: Plugins, *overrides: str) -> Config:
    register(plugins)
    with initialize_config_dir(CONF, version_base=None):
        return build_config(compose("config", ["+experiment=xgb_daily", *overrides]), plugins)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "apiKey",
        "api_key",
        "auth-token",
        "aws_secret_access_key",
        "sasl.password",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "password_env",
        "keys_file",
        "sslkey_path",
        "tokens",
        "key",
        "max_tokens",
        "tokenizer",
        "keys_variable",
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("postgresql://me:a1@h/x", ["a1"]),
        ("redis://:a1@h:6379/0", ["a1"]),
        ("https://me:p@ss@h/x", ["p@ss"]),
        ("h:6379,password=a1,ssl=true", ["a1"]),
        ("host=h user=me password='a1'", ["a1"]),
        ("mssql://h/x?user=me&password=a1", ["a1"]),
        ("AccountName=me;AccountKey=a1==;Suffix=x", ["a1=="]),
        ("postgresql://reader@h/x", []),
        ("http://h:9000/path@v1", []),
        ("sqlite:///state/x.db", []),
    ],
)
def test_shapes_of_secrets(text: str, found: list[str]) -> None:
    assert secrets_in(text) == found
    assert all(each not in masked(text) for each in found)


@given(
    st.text(string.ascii_letters + string.digits + "@/%'\"$ \\{}", min_size=6, max_size=20).filter(
        lambda text: text.split() == [text]
    )
)
def test_a_remembered_secret_is_in_no_error(value: str) -> None:
    remember(value)
    for said in (f"wrong: {value}", f"wrong: {value!r}", f"wrong: {'x' * 390}{value}"):
        assert value not in one_line(ValueError(said))
        assert value not in str(DataError(said))
    assert len(one_line(ValueError("x" * 1000))) == 400


def test_a_short_secret_hides_no_other_word() -> None:
    remember("ab")
    assert masked("absolute ab, cab") == "absolute ***, cab"


def test_log_lines_and_tracebacks_are_masked(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    remember("kestrel-7Q")
    try:
        raise ValueError("kestrel-7Q")
    except ValueError as error:
        logging.getLogger("some.library").exception("it was %s", "kestrel-7Q")
        sys.excepthook(ValueError, error, error.__traceback__)
    assert "it was ***" in caplog.text
    said = capsys.readouterr().err
    assert "ValueError: ***" in said
    assert "kestrel" not in caplog.text + said


def test_what_comes_from_the_environment_is_recorded_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A", "va")
    monkeypatch.setenv("WHICH", "one")
    tree = {
        "state": "s",
        "plain": '${oc.env:B,"x: y"}',
        "within": "${state}/${oc.env:A}.db",
        "number": "${oc.decode:${oc.env:PORT,5432}}",
        "nested": "${oc.env:B,${oc.env:A}}",
        "none": "${oc.env:B,null}",
        "other": "${plain}",
        "part": {"copy": "${..within}"},
        "whole": "${part}",
        "chosen": "${choice.${oc.env:WHICH}}",
        "choice": {"one": 1},
        "escaped": r"\${state}",
        "list": ["${oc.env:A}", True, None],
    }
    written = write(OmegaConf.create(tree))
    back = OmegaConf.create(written.text())
    assert OmegaConf.to_container(back, resolve=True) == OmegaConf.to_container(
        OmegaConf.create(tree), resolve=True
    )
    assert written.tree["plain"] == written.tree["other"] == tree["plain"]
    assert written.tree["within"] == written.tree["whole"]["copy"] == "s/${oc.env:A}.db"
    assert written.tree["number"] == tree["number"]
    assert "va" not in written.text()
    assert {*variables(written.text())} == {"A", "B", "PORT", "WHICH"}


def test_a_text_means_the_environment_of_its_reader(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "kestrel-7Q")
    config = _config(plugins, "feature_store=postgres")
    sent = pickle.dumps(Components(config, plugins))
    assert b"kestrel-7Q" not in sent
    assert "kestrel-7Q" not in config.text + config.model_dump_json() + repr(
        config.component("retrieval")
    )
    received = pickle.loads(sent)
    assert pickle.loads(sent) is received, "it is composed again for each part that is sent"
    monkeypatch.setenv("PGPASSWORD", "rotated-8R")
    assert (
        pickle.loads(sent).config.component("retrieval").options.store["online_store"]["password"]
        == "rotated-8R"
    )
    monkeypatch.delenv("PGPASSWORD")
    text = config.text.replace('${oc.env:PGPASSWORD,""}', "${oc.env:PGPASSWORD}")
    with pytest.raises(
        ConfigError,
        match=r"^feature_store\.online_store\.password: the environment variable PGPASSWORD is not set\.$",  # noqa: E501
    ):
        build_config(OmegaConf.create(text), plugins)


@pytest.mark.gate_cases(4)
@pytest.mark.parametrize(
    "override",
    [
        "feature_store.online_store.password=kestrel-7Q",
        "'feature_store.online_store.password=${oc.env:PGPASSWORD,kestrel-7Q}'",
        "+feature_store.registry.s3_secret_access_key=kestrel-7Q",
        "registry.tracking_uri=https://me:kestrel-7Q@h",
        "registry.ledger=postgresql+psycopg://me:kestrel-7Q@h/x",
        "serving.tracing.endpoint=http://me:kestrel-7Q@h/v1",
        "+compute.pin=kestrel-7Q",
        "compute.place=s3://me:kestrel-7Q@h",
    ],
)
def test_a_secret_that_is_written_out_is_refused(plugins: Plugins, override: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _config(
            plugins,
            "feature_store=postgres",
            "compute=cloud",
            override.strip("'").replace("+compute", "compute"),
        )
    key = override.strip("'+").partition("=")[0]
    assert str(refused.value).startswith(f"{key}: a secret that is written out")
    assert "kestrel" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_of_a_type_comes_from_the_environment(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIN", "4711")
    config = _config(
        plugins, "compute=cloud", "compute.pin=${oc.env:PIN}", "+compute.tables={api_token: daily}"
    )
    options = config.component("compute").options
    assert isinstance(options, CloudOptions)
    assert options.pin is not None
    assert options.pin.get_secret_value() == "4711"
    assert "4711" not in f"{options!r}{config.model_dump_json()}{config.text}"


def test_a_wrong_value_is_named_without_the_secret_beside_it(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIN", "kestrel-7Q")
    with pytest.raises(ConfigError) as refused:
        _config(
            plugins, "compute=cloud", "compute.tokens=${oc.env:PIN}", "compute.pin=${oc.env:PIN}"
        )
    assert str(refused.value).startswith("compute.tokens: ")
    assert "kestrel" not in str(refused.value)


def test_words_of_the_project_make_no_secret() -> None:
    assert not declared(dict[str, str], ["api_token"], "files")
    assert not declared(CloudOptions, ["tables", "password"])
    assert declared(CloudOptions, ["pin"])
    assert declared(Options, ["wrong", "password"])


def test_a_pair_that_was_recorded_with_a_secret_still_loads_and_uses_todays(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "rotated-8R")
    now = _config(plugins, "feature_store=postgres")
    then = now.text.replace('${oc.env:PGPASSWORD,""}', "kestrel-7Q").replace(
        "${oc.env:PGHOST,localhost}", "old-host"
    )
    again = recorded_config(then, now, plugins)
    assert again.component("retrieval").options.store["online_store"]["password"] == "rotated-8R"
    assert again.component("retrieval").options.store["online_store"]["host"] == "old-host"
    assert "kestrel-7Q" not in again.text
    elsewhere = recorded_config(
        then, _config(plugins), plugins
    )  # a store that the run at hand does not have
    assert (
        elsewhere.component("retrieval").options.store["online_store"]["password"] == "kestrel-7Q"
    )
