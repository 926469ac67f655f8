"""Frames without models in between: what transport and execution need beside the public names.

Unstable: a name here may change or go in any release. An application needs none of them.
"""

from typing import TYPE_CHECKING

from zmqruntime.messages._lazy import attach as _attach

if TYPE_CHECKING:
    from zmqruntime.messages.decoding import decode_errors as decode_errors
    from zmqruntime.messages.decoding import decode_json as decode_json
    from zmqruntime.messages.encoding import PreparedRequest as PreparedRequest
    from zmqruntime.messages.encoding import encode_json as encode_json
    from zmqruntime.messages.encoding import encode_with_id as encode_with_id
    from zmqruntime.messages.encoding import prepare as prepare
    from zmqruntime.messages.long_requests import find_body_fault as find_body_fault
    from zmqruntime.messages.long_requests import split_request as split_request
    from zmqruntime.messages.requests import Outgoing as Outgoing

else:
    __getattr__, __dir__, __all__ = _attach(
        __name__,
        {
            "zmqruntime.messages.decoding": ("decode_errors", "decode_json"),
            "zmqruntime.messages.encoding": (
                "PreparedRequest",
                "encode_json",
                "encode_with_id",
                "prepare",
            ),
            "zmqruntime.messages.long_requests": ("find_body_fault", "split_request"),
            "zmqruntime.messages.requests": ("Outgoing",),
        },
    )
