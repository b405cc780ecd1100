"""`make jars`: what `jgo list` says of a program and all it needs, from standard input; the pinned list to standard output.

The program's name is the argument, and its jar the first of the list.

Each jar must have the SHA-1 that the repository publishes beside it; its SHA-256 is what Karar trusts from then on.
"""

import hashlib
import os
import sys

from streams.broker.jars import Jar, maven_central, received
from streams.settings import mirror

HEAD = """\
# {program} with everything it needs at run time: group:artifact:version size SHA-256.
# Written by `make jars`; {first} itself stands first.
"""


def pin(coordinates: str, repository: str) -> Jar:
    """Fetches a jar and says what it is. ValueError: it is not what the repository says."""
    jar = Jar(coordinates, 0, "")
    content, sha1 = (b"".join(received(f"{repository}/{jar.path}{end}")) for end in ("", ".sha1"))
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != sha1.decode().split()[0]:
        message = f"{coordinates}: is not what {repository} says it is; try again"
        raise ValueError(message)
    return Jar(coordinates, len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    source = (mirror(os.environ) or maven_central()).rstrip("/")
    jars = [pin(":".join(line.split(":")[:3]), source) for line in sys.stdin.read().split()]
    program = sys.argv[1]
    sys.stdout.write(
        HEAD.format(program=program, first=program.removeprefix("Apache "))
        + "".join(f"{jar.coordinates} {jar.size} {jar.sha256}\n" for jar in jars)
    )
