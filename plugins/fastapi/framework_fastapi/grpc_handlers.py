"""The methods of the protocol as grpc.aio finds them, and which calls are on their way.

grpc.aio hands calls over one by one: it asks for the next one while it reads the message of the one
before, and each takes it some turns of the event loop. A forecast that began with the first of them
would be a forecast of one call, whatever waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from framework.serving.pipeline.arrivals import Arrivals
from framework_fastapi.grpc_messages import MESSAGES, PACKAGE

#: The method that forecasts.
INFER = "ModelInfer"
#: Turns of the event loop in which grpc.aio announces the next call that it has: five, and one to
#: be sure.
_TURNS = 6
#: Seconds in which the message of a call that has begun is expected, and for which a forecast waits
#: at most while calls come one after the other.
_SOON, _LONGEST = 0.002, 0.02

Method = Callable[[Any, Any], Awaitable[Any]]


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # it has no types
    """Finds methods by their paths.

    Args:
        methods: By name. The one that forecasts gets the bytes of its message.
    """

    def __init__(self, methods: Mapping[str, Method]) -> None:
        service = f"/{PACKAGE}.GRPCInferenceService"
        self._forecasts = f"{service}/{INFER}"
        self._handlers = {
            f"{service}/{name}": grpc.unary_unary_rpc_method_handler(
                method,
                None if name == INFER else MESSAGES[f"{name}Request"].FromString,
                serialized,
            )
            for name, method in methods.items()
        }
        self._arrivals = Arrivals(_TURNS, _SOON, _LONGEST)

    def service(self, handler_call_details: Any) -> Any:
        """Find the method of a call that has begun, in the context that it will be answered in."""
        method = handler_call_details.method
        if method == self._forecasts:
            self._arrivals.expect()
        return self._handlers.get(method)


def serialized(response: Any) -> bytes:
    """The bytes of a message; of an answer that is bytes already, those."""
    return response if isinstance(response, bytes) else bytes(response.SerializeToString())
