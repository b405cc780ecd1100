"""`make test`: what is slow and waits, test after test, and beside it, in a process of its own, what needs no Kafka; then their coverage.

What is slow waits for Kafka and workers most of the time. What the other process says is printed when both have ended.
"""

import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Final

from streams.broker import BrokerError
from streams.broker.kafka import JVM, Broker, java

BIN: Final = Path(sys.executable).parent
SHARE: Final = 95
"""Per cent of what must be right to the last count; pyproject.toml says what that is."""
OPTIONS: Final = "JAVA_TOOL_OPTIONS"
JAVA: Final = "-XX:TieredStopAtLevel=1 -XX:SharedArchiveFile="
"""What the tests let a Kafka do is too little for its code to be optimised, which took two fifths of the processor's time. And its classes
come from an archive, as the first Kafka has left them: to read and check them was half of a start. While there is none it goes without."""


def archive(classes: Path) -> None:
    """Makes that archive. It has one of Java's own classes below it, which stays where it is."""
    base, made = classes.with_name("java.jsa"), classes.with_suffix(".new")
    given = os.environ[OPTIONS]
    with suppress(BrokerError):  # without Java, or without Kafka: the tests say so
        subprocess.run([java(), *JVM, "-Xshare:dump", f"-XX:SharedArchiveFile={base}"], capture_output=True, check=True)
        os.environ[OPTIONS] = f"{JAVA}{base} -XX:ArchiveClassesAtExit={made}"
        with Broker(os.environ):
            pass
        made.replace(classes)
    os.environ[OPTIONS] = given


def pytest(name: str, chosen: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs some of the tests, and its environment."""
    command = [str(BIN / "pytest"), "-m", chosen, "--cov", "--cov-report=", *sys.argv[1:]]
    return command, {**os.environ, "COVERAGE_FILE": f".coverage.{name}"}


def main() -> int:
    """Exit status 0 where both have passed, and enough is covered; else that of the first that has not."""
    os.environ.setdefault("KARAR_TEST_DRAWN", str(random.SystemRandom().randrange(1 << 32)))
    os.environ.setdefault("GOGC", "400")  # Prometheus and its tools look for garbage less often: a sixth of their time
    for stale in Path().glob(".coverage.*"):
        stale.unlink()
    with TemporaryDirectory(prefix="karar-java-") as folder:
        classes = Path(folder) / "kafka.jsa"
        ours = os.environ.setdefault(OPTIONS, f"{JAVA}{classes}").endswith(str(classes))
        (slow, slowly), (quick, quickly) = pytest("slow", "slow and not computes"), pytest("quick", "not slow or computes")
        with TemporaryFile() as said, subprocess.Popen(quick, env=quickly, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as beside:
            if ours:
                archive(classes)
            first = subprocess.run(slow, env=slowly, check=False).returncode
            second = beside.wait()
            said.seek(0)
            sys.stdout.write(said.read().decode(errors="replace"))
            sys.stdout.flush()
    coverage = str(BIN / "coverage")
    subprocess.run([coverage, "combine", "--quiet"], check=False)  # where there is nothing, the report says so
    covered = subprocess.run([coverage, "report", f"--fail-under={SHARE}"], check=False).returncode
    return first or second or covered


if __name__ == "__main__":
    sys.exit(main())
