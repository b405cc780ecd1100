"""A stream that may have nothing to say for a while: whoever reads it can do something meanwhile, and can be stopped."""

import io
import os
import select
import stat
from collections.abc import Callable
from threading import Event
from typing import BinaryIO, Final

LOOK_SECONDS: Final = 0.1


class Patient(io.RawIOBase):
    """The bytes of a pipe, a terminal or a socket: ``idle`` is called before it is waited for, and ``stopped`` ends it."""

    def __init__(self, descriptor: int, idle: Callable[[], object], stopped: Event) -> None:
        super().__init__()
        self.descriptor, self.idle, self.stopped = descriptor, idle, stopped

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what BufferedReader hands over
        """Fills a buffer with what is there, or waits for something; 0 at the end, or when stopped."""
        if not self.ready(0):
            self.idle()
            while not self.ready(LOOK_SECONDS):
                if self.stopped.is_set():
                    return 0
        content = os.read(self.descriptor, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def ready(self, seconds: float) -> bool:
        """Whether there is something to read, or the end."""
        return bool(select.select([self.descriptor], (), (), seconds)[0])


def patient(stream: BinaryIO, idle: Callable[[], object], stopped: Event) -> BinaryIO:
    """The stream itself where it is a file, which never lets anybody wait; else one that is patient."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return stream
    return io.BufferedReader(Patient(descriptor, idle, stopped))
