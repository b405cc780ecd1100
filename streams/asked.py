"""What a request asks for and who asks: read from its head alone. Refusals are one line each."""

from collections.abc import Iterator, Mapping
from hmac import compare_digest
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

PROXIES: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


class RefusalError(Exception):
    """An answer that is an error: status, one line, headers."""

    def __init__(self, status: HTTPStatus, line: str, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(line)
        self.status, self.line, self.headers, self.more = status, line, headers or {}, more


def check_access(request: web.Request, token: str) -> None:
    """Lets in whoever has the token; without one, whoever asks on this machine, directly and by a name of this machine.

    A page of another site could ask under a name of its own that leads here, and a proxy asks for somebody else.
    """
    if token:
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        same = compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
        if scheme.lower() != "bearer" or not same:
            line = "a token is needed: send it as `Authorization: Bearer …`"
            raise RefusalError(HTTPStatus.UNAUTHORIZED, line, {hdrs.WWW_AUTHENTICATE: "Bearer"})
        return
    if not is_here(request.remote or "") or not is_here(host_of(request)) or any(name in request.headers for name in PROXIES):
        raise RefusalError(HTTPStatus.FORBIDDEN, "this is answered to 127.0.0.1 only: ask there, or set KARAR_WEB_TOKEN and send the token")


def is_here(name: str) -> bool:
    """Whether a name or address means this machine alone."""
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def host_of(request: web.Request) -> str:
    """The host that a request says it is for, without port."""
    try:
        return urlsplit(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""
    except ValueError:
        return ""


def check_head(request: web.Request) -> None:
    """Refuses what does more than read."""
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
        raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "this is for reading only: use GET", {hdrs.ALLOW: "GET, HEAD"})
    if request.body_exists:
        raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request has no body here", {hdrs.CONNECTION: "close"})


def choice(request: web.Request, name: str, allowed: tuple[str, ...]) -> str:
    """A parameter that has one of some values; the first where it is not given."""
    value = request.query.get(name, allowed[0])
    if value not in allowed:
        raise RefusalError(HTTPStatus.BAD_REQUEST, f"{name} must be one of {', '.join(filter(None, allowed))}")
    return value


def number(request: web.Request, name: str, default: int, most: int) -> int:
    """A parameter that is a whole number from 1."""
    value = request.query.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
        raise RefusalError(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number from 1 to {most}")
    return int(value)


def check_parameters(request: web.Request, *known: str) -> None:
    """Refuses parameters that would be ignored."""
    if any(name not in known for name in request.query):
        raise RefusalError(HTTPStatus.BAD_REQUEST, f"unknown parameter; there are: {', '.join(known)}")


def accepted(value: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """What an Accept header lists: name, parameters, weight."""
    for part in value.split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {key.strip().lower(): v.strip().strip('"') for key, _, v in (piece.partition("=") for piece in rest)}
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        yield name.lower(), parameters, weight


def wants_openmetrics(request: web.Request) -> bool:
    """Whether OpenMetrics 1.0 is asked for, and not less than plain text."""
    openmetrics = text = 0.0
    for name, parameters, weight in accepted(request.headers.get(hdrs.ACCEPT, "")):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, weight)
        elif name == "text/plain":
            text = max(text, weight)
    return openmetrics > 0 and openmetrics >= text


def takes_gzip(request: web.Request) -> bool:
    """Whether compressed text is accepted."""
    weights = {name: weight for name, _, weight in accepted(request.headers.get(hdrs.ACCEPT_ENCODING, ""))}
    return weights.get("gzip", weights.get("*", 0.0)) > 0
