"""The options as uvicorn has them."""

from __future__ import annotations

from typing import Any

import uvicorn

from framework.serving.http.address import BACKLOG
from framework_fastapi import FastapiOptions
from framework_fastapi.protocol import BoundedHead


def configure(app: Any, options: FastapiOptions, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration for an application, or for a factory of one."""
    return uvicorn.Config(
        app,
        http=BoundedHead,
        loop="uvloop",
        ws="none",
        log_config=None,
        log_level=options.log.level,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(options.graceful_timeout)),
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
        **more,
    )
