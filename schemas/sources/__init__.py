"""One adapter per publisher: somebody's bytes in, canonical events out."""

from typing import Final

from schemas.sources.asterisk import AsteriskQueueLog
from schemas.sources.canonical import CanonicalEvents
from schemas.sources.csv_log import CsvLog
from schemas.sources.lines import Read, Source
from schemas.sources.mapping import Mapping, read_mapping
from schemas.sources.times import zone_of

FORMATS: Final = ("events", "asterisk-queue-log", "csv")
COMING: Final = ("amazon-connect", "genesys-cloud", "twilio-taskrouter", "freeswitch", "qmatic")
LONGEST_NAME: Final = 256

__all__ = ["COMING", "FORMATS", "Mapping", "Read", "Source", "open_source", "read_mapping"]


def open_source(format: str, mapping: Mapping | None = None, source_name: str = "", part: str = "") -> Source:  # noqa: A002 - the option's name
    """The adapter for a format; `source_name` names the events' source, else the mapping does, else the format.

    `csv` needs a mapping; of a mapping, `asterisk-queue-log` uses the name and the zone, `events` nothing. `part` names one of several
    files of one log, whose rows may have no ids but their line numbers. ValueError (one line) for a format that does not exist or is
    still to come, and for a mapping that cannot work.
    """
    source = source_name or (mapping.source if mapping else "") or format
    if len(source) > LONGEST_NAME:
        raise ValueError(f"source: the name has {len(source)} characters; write at most {LONGEST_NAME}")
    match format:
        case "events":
            return CanonicalEvents()
        case "asterisk-queue-log":
            return AsteriskQueueLog(source, zone_of(mapping.time.zone if mapping else "UTC"))
        case "csv":
            if mapping is None:
                raise ValueError("format csv needs a mapping of columns to fields; docs/examples/callcenter.toml is one")
            return CsvLog(mapping, source, part)
        case _ if format in COMING:
            raise ValueError(f"format {format} is still to come; there are: {', '.join(FORMATS)}")
        case _:
            raise ValueError(f'unknown format "{format}"; there are: {", ".join(FORMATS)}')
