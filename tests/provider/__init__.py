"""An OpenAI-compatible provider on loopback that fails on request, for the tests.

Behaviour is chosen by the MODEL NAME, split on ``-``, ``,``, ``/`` and ``_``; unknown parts are ignored, so
``err429x2-ra=1``, ``fast-50ms-tok=8`` and ``alpha/echo`` are all valid. `profile.py` has the whole table.

    with Provider() as provider:  # a thread of this process; `python -m tests.provider` is a process
        ChatOpenAI(base_url=provider.url, model="echo", api_key="x").invoke("hi")
        provider.requests()[0].json["model"], provider.stats()["answered"]
"""

from tests.provider.profile import ANSWERED, FAULTS, REFUSED
from tests.provider.record import Request
from tests.provider.server import Provider

__all__ = ["ANSWERED", "FAULTS", "REFUSED", "Provider", "Request"]
