"""Alerts by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from framework.errors import ConfigError, FrameworkError, one_line
from framework.interfaces.alert_sink import Alert, AlertSink, SmtpOptions

#: Seconds that each step of the conversation may take.
_PATIENCE = 10.0


class SmtpSink(AlertSink):
    """Sends one message for all alerts of a run to a mail server."""

    options: SmtpOptions

    def check(self) -> None:
        try:
            self._context()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca: {self.options.ca}: {one_line(error)}.") from None

    def send(self, name: str, alerts: Sequence[Alert]) -> None:
        where = f"{self.options.host}:{self.options.port}"
        try:
            with self._connection() as server:
                refused = server.send_message(self._message(name, alerts))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise FrameworkError(f"{where}: alerts were not taken ({one_line(error)}).") from error
        if refused:
            raise FrameworkError(f"{where}: no mail is taken for {', '.join(sorted(refused))}.")

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.options.ca)

    def _connection(self) -> smtplib.SMTP:
        options = self.options
        context = self._context()
        server: smtplib.SMTP
        if options.tls == "tls":
            server = smtplib.SMTP_SSL(
                options.host, options.port, timeout=_PATIENCE, context=context
            )
        else:
            server = smtplib.SMTP(options.host, options.port, timeout=_PATIENCE)
        try:
            if options.tls == "starttls":
                server.starttls(context=context)
            if options.user is not None and options.password is not None:
                server.login(options.user, options.password.get_secret_value())
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, name: str, alerts: Sequence[Alert]) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.options.sender
        message["To"] = ", ".join(self.options.recipients)
        more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        first = alerts[0]
        message["Subject"] = f"[{first.state.upper()}] {first.name}{more}: {name}"
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="framework")
        message.set_content("\n".join(_paragraph(alert) for alert in alerts))
        return message


def _paragraph(alert: Alert) -> str:
    labels = "".join(f"  {key}: {value}\n" for key, value in alert.labels.items())
    ended = f"  ended: {alert.ended_at}\n" if alert.ended_at else ""
    return f"{alert.line}\n{labels}  since: {alert.active_at}\n{ended}"
