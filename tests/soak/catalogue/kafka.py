"""A Kafka for faults: a second way to it leads through a proxy, and its logs are cleaned within seconds."""

import os
from typing import Final

from streams.broker.kafka import HOST, Broker, free_port

BESIDES: Final = """\
listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{behind},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{proxied}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
log.cleaner.backoff.ms=200
"""


class FaultyKafka(Broker):
    """Who comes through the port ``proxied`` is told to stay there; whatever listens there passes on to ``behind``."""

    def __init__(self) -> None:
        super().__init__(os.environ)
        self.behind, self.proxied = free_port(), free_port()

    @property
    def roundabout(self) -> str:
        """The address of the proxy."""
        return f"{HOST}:{self.proxied}"

    def properties(self, controller: int) -> str:
        """What is said twice holds as it was said last."""
        here = {"host": HOST, "port": self.port, "behind": self.behind, "proxied": self.proxied, "controller": controller}
        return super().properties(controller) + BESIDES.format(**here)
