"""Real Apache Kafka from wheels, for the demo, the tests and `karar broker`; docs/decisions/004 says why this way."""


class BrokerError(Exception):
    """Kafka could not be fetched, started, kept going or reached: one line, and what its log says as a note where there is one."""
