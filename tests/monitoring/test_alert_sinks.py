"""Alert sinks, each with a real receiver: HTTP, SMTP with TLS, stderr."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, ClassVar

import orjson
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from framework.errors import ConfigError, FrameworkError
from framework.interfaces.alert_sink import SmtpOptions, WebhookOptions
from framework.monitoring.alert_sinks import WebhookSink
from framework.monitoring.mail_sink import SmtpSink
from framework.options import validate
from framework.testing.contracts.alert_sink import ALERT, SECRET, AlertSinkContract, Receiver


@contextmanager
def http_receiver() -> Iterator[SimpleNamespace]:
    """A server that keeps what is posted; ``status`` is what it answers, None for no HTTP."""
    kept = SimpleNamespace(bodies=[], status=200, url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            if kept.status is None:
                self.wfile.write(b"no HTTP\r\n\r\n")
                return
            self.send_response(kept.status)
            self.send_header("Location", "/")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class HttpContract(AlertSinkContract):
    """A sink that posts JSON."""

    options: ClassVar[dict[str, Any]] = {"url": "http://127.0.0.1/"}

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        with http_receiver() as kept:

            def fail() -> None:
                kept.status = 500

            yield Receiver({"url": kept.url}, lambda: [b.decode() for b in kept.bodies], fail)


class TestWebhook(HttpContract):
    name = "webhook"


class TestSlack(HttpContract):
    name = "slack"


class TestLog(AlertSinkContract):
    name = "log"

    @pytest.fixture
    def receiver(self, capsys: pytest.CaptureFixture[str]) -> Receiver:  # type: ignore[override]
        lines: list[str] = []

        def messages() -> list[str]:
            lines.extend(capsys.readouterr().err.splitlines())
            return lines

        return Receiver({}, messages, None)


class Mailbox:
    """Takes mail for everybody but ``nobody``, while it is open."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.open = True

    async def handle_RCPT(  # noqa: N802  the library calls it so
        self, _: Any, __: Any, envelope: Any, address: str, ___: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        if not self.open:
            return "451 the disk is full"
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mail_server(tls: ssl.SSLContext | None) -> Iterator[tuple[Controller, Mailbox]]:
    """A mail server; with ``tls`` it wants STARTTLS and the password."""

    def check(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
        return AuthResult(success=data.password == SECRET.encode())

    mailbox = Mailbox()
    secured = {"tls_context": tls, "require_starttls": True, "auth_required": True}
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=check,
        **(secured if tls is not None else {}),
    )
    controller.start()
    try:
        yield controller, mailbox
    finally:
        controller.stop(no_assert=True)


def mail_options(controller: Controller, **changed: Any) -> dict[str, Any]:
    plain = {"host": "127.0.0.1", "port": controller.port, "sender": "a@b.org"}
    return {**plain, "recipients": ["me@b.org"], **changed}


class TestSmtp(AlertSinkContract):
    name = "smtp"
    options: ClassVar[dict[str, Any]] = {
        "host": "127.0.0.1",
        "sender": "a@b.org",
        "recipients": ["me@b.org"],
    }

    @pytest.fixture
    def receiver(self, authority: trustme.CA, tmp_path: Path) -> Iterator[Receiver]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        with mail_server(context) as (controller, mailbox):
            options = mail_options(
                controller, ca=str(tmp_path / "ca.pem"), user="u", password=SECRET
            )

            def messages() -> list[str]:
                return [read(one) for one in mailbox.messages]

            def close() -> None:
                mailbox.open = False

            yield Receiver(options, messages, close)


def read(message: Any) -> str:
    return f"{message['Subject']}\n{message.get_content()}"


def test_a_mail_has_its_labels_and_goes_to_everybody() -> None:
    with mail_server(None) as (controller, mailbox):
        options = mail_options(controller, tls="none", recipients=["me@b.org", "you@b.org"])
        SmtpSink(validate(SmtpOptions, options, "sink")).send("shops", [ALERT])
    (message,) = mailbox.messages
    assert (message["From"], message["To"]) == ("a@b.org", "me@b.org, you@b.org")
    assert message["Subject"] == "[FIRING] drifting: shops"
    assert "  target: Umsätze" in message.get_content().splitlines()


def test_a_mail_server_without_tls_or_with_a_stranger_s_certificate_gets_nothing(
    authority: trustme.CA,
) -> None:
    with mail_server(None) as (controller, mailbox):
        sink = SmtpSink(validate(SmtpOptions, mail_options(controller), "sink"))
        with pytest.raises(FrameworkError, match=r"alerts were not taken .*STARTTLS"):
            sink.send("shops", [ALERT])
        assert mailbox.messages == []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with mail_server(context) as (controller, mailbox):
        options = mail_options(controller, user="u", password=SECRET)
        with pytest.raises(FrameworkError, match=r"not taken .*CERTIFICATE_VERIFY_FAILED"):
            SmtpSink(validate(SmtpOptions, options, "sink")).send("shops", [ALERT])
        assert mailbox.messages == []


def test_who_gets_no_mail_is_said() -> None:
    with mail_server(None) as (controller, mailbox):
        options = mail_options(controller, tls="none", recipients=["me@b.org", "nobody@b.org"])
        with pytest.raises(FrameworkError, match=r"no mail is taken for nobody@b\.org"):
            SmtpSink(validate(SmtpOptions, options, "sink")).send("shops", [ALERT])
        assert len(mailbox.messages) == 1


@pytest.mark.parametrize(("status", "problem"), [(302, "HTTP Error 302"), (None, "no HTTP")])
def test_a_sink_that_redirects_or_speaks_no_http_did_not_take_it(
    status: int | None, problem: str
) -> None:
    with http_receiver() as kept:
        kept.status = status
        sink = WebhookSink(WebhookOptions(url=kept.url))
        with pytest.raises(FrameworkError, match=f"alerts were not taken .*{problem}"):
            sink.send("shops", [ALERT])


def test_a_webhook_gets_what_alertmanager_sends() -> None:
    with http_receiver() as kept:
        WebhookSink(WebhookOptions(url=kept.url)).send("shops", [ALERT])
    body = orjson.loads(kept.bodies[0])
    assert (body["version"], body["status"], body["commonLabels"]) == ("4", "firing", ALERT.labels)
    (sent,) = body["alerts"]
    assert sent["labels"]["severity"] == "page"
    assert sent["annotations"] == ALERT.annotations
    assert sent["endsAt"] == "0001-01-01T00:00:00Z"
    assert set(sent) == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"user": "u"}, "user and password"),
        ({"user": "u", "password": "p", "tls": "none"}, "TLS alone"),
        ({"recipients": []}, "recipients"),
        ({"sender": "me"}, "sender"),
    ],
)
def test_mail_that_could_never_go_is_refused(options: dict[str, Any], problem: str) -> None:
    whole = {"host": "h", "sender": "a@b.org", "recipients": ["me@b.org"], **options}
    with pytest.raises(ConfigError, match=problem):
        validate(SmtpOptions, whole, "monitor.alerts.sinks.mail")


def test_a_url_that_is_none_is_refused_without_its_path() -> None:
    with pytest.raises(ConfigError, match=r"sinks\.hook\.url.*http://") as refused:
        validate(WebhookOptions, {"url": f"hooks.org/{SECRET}"}, "monitor.alerts.sinks.hook")
    assert SECRET not in str(refused.value)
