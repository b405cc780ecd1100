"""Kafka Streams with the workload of the engine alone: its jars, its compiled host, and the command that starts it.

The Java comes from the wheel that runs Kafka itself; without a JDK the Eclipse compiler makes the classes.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from streams.broker import BrokerError
from streams.broker.jars import Jar, fetch, parse, partial_folder, version_of
from streams.broker.kafka import java

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE / "KafkaStreams.java"
COMPILER: Final = "ecj"
JAVA_VERSION: Final = "17"
ONCE: Final = ("-nowarn", "-proc:none", "-encoding", "UTF-8")
JVM: Final = (
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.io.tmpdir=.",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class Prepared(NamedTuple):
    """The host, ready to be started any number of times."""

    java: str
    classpath: str

    def command(
        self, broker: str, run: str, guarantee: str, store: str, *, heap: str = "1g", threads: int = 1, more: Sequence[str] = ()
    ) -> list[str]:
        """What starts the host on the topics of a run, in a folder where it may leave what it likes; ``more``: options of the JVM."""
        options = [f"-Xms{heap}", f"-Xmx{heap}", *JVM, *more]
        return [self.java, *options, "-cp", self.classpath, SOURCE.stem, broker, run, guarantee, store, str(threads)]


def pinned() -> list[Jar]:
    """The jars of Kafka Streams, itself first. `make jars` writes the list."""
    return parse((HERE / "jars.txt").read_text("utf-8"))


def prepare(cache: Path, repository: str = "") -> Prepared:
    """Fetches the jars and compiles the host, with `javac` where there is one, else with Eclipse's compiler. BrokerError: one line."""
    jars = pinned()
    folder = cache / f"kafka-streams-{version_of(jars)}"
    fetch(jars, folder, repository)
    paths = {jar.coordinates.split(":")[1]: folder / jar.file for jar in jars}
    compiler = paths.pop(COMPILER)
    classpath = os.pathsep.join(map(str, paths.values()))
    javac = shutil.which("javac")
    source = hashlib.sha256(SOURCE.read_bytes() + "".join(jar.sha256 for jar in jars).encode()).hexdigest()
    classes = cache / f"kafka-streams-host-{'javac' if javac else COMPILER}-{source[:16]}"
    if not classes.exists():
        # Without the JDK's record of its older versions a compiler can only be told how to read and write, not what there was.
        with_jdk, without = ["--release", JAVA_VERSION], ["-source", JAVA_VERSION, "-target", JAVA_VERSION]
        program = [javac, *with_jdk] if javac else [java(), "-jar", str(compiler), *without]
        with partial_folder(classes) as partial:
            compile_host([*program, *ONCE, "-cp", classpath, "-d", str(partial), str(SOURCE)])
            settle(partial, classes)
    return Prepared(java(), os.pathsep.join((str(classes), classpath)))


def compile_host(command: Sequence[str]) -> None:
    """Runs a compiler on the host. BrokerError: one line, and what the compiler says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        error = BrokerError(f"{SOURCE}: {Path(command[0]).name} cannot compile it, status {done.returncode}")
        error.add_note(done.stdout + done.stderr)
        raise error


def settle(partial: Path, classes: Path) -> None:
    """Makes the folder the one that is meant, unless somebody else was quicker: theirs has the same classes."""
    try:
        partial.rename(classes)
    except OSError:
        if not classes.exists():
            raise
