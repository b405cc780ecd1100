"""A running Kafka for tests: the one that KARAR_BROKER names, else one of our own."""

import os
from collections.abc import Iterator

import pytest

from streams.broker.kafka import serving


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka that all tests of a run share: started for the first that asks, stopped after the last."""
    with serving(os.environ) as address:
        yield address
