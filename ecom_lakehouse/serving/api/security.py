"""Who may call, and how often: keys with roles, a rate limit, and the headers that go with every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.serving.api.problems import ApiProblem
from ecom_lakehouse.settings import Settings

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json"})
ASKS_POSTGRES = "/ready"  # of the open paths
DOCS = ("/docs", "/static-offline-docs")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REMEMBERED_CALLERS = 10_000

_PAGE = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
DOCS_HEADERS = {**HEADERS, "Content-Security-Policy": f"{_PAGE}; frame-ancestors 'none'"}


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of the key, or the address where none is wanted."""

    name: str
    role: str


def is_local(host: str) -> bool:
    """Whether a host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_unsafe(settings: Settings) -> None:
    """Beyond localhost the API starts with keys and a rate limit, or not at all.

    Raises:
        SettingsError: one of them is missing; says how to set it.
    """
    if is_local(settings.api_host):
        return
    where = f"LAKEHOUSE_API_HOST={settings.api_host} lets other machines ask the API"
    if not settings.api_keys:
        raise SettingsError(
            f"{where}, which needs keys: make one with `lakehouse api-key NAME` and put the entry that it prints "
            "into LAKEHOUSE_API_KEYS, or listen on 127.0.0.1."
        )
    if not settings.api_rate_limit_per_minute:
        raise SettingsError(
            f"{where}, which needs a rate limit: set LAKEHOUSE_API_RATE_LIMIT_PER_MINUTE, such as 600, "
            "or listen on 127.0.0.1."
        )


class Gate:
    """Lets a request pass, or says which problem it has."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.api_keys
        self._limit = RateLimit(settings.api_rate_limit_per_minute)

    def admit(self, path: str, method: str, headers: Mapping[str, str], address: str, server: str) -> Caller:
        """The caller behind a request.

        Raises:
            ApiProblem: no key or a wrong one (401), the wrong role (403), or too many requests (429).
        """
        if path.removeprefix("/v1") in OPEN_PATHS or path.startswith(DOCS):
            if path.removeprefix("/v1") == ASKS_POSTGRES:
                self._limit.spend(address)
            return Caller(address, "read")
        if not self._keys:
            if not is_local(server) and _is_address(server):
                raise _unauthorized("This server has no keys yet, so it answers its own machine only.")
            self._limit.spend(address)
            return Caller(address, "write")
        try:
            caller = self._known(headers)
        except ApiProblem:
            self._limit.spend(address)
            raise
        self._limit.spend(caller.name)
        if method not in SAFE_METHODS and caller.role != "write":
            raise ApiProblem(
                403,
                "forbidden",
                "This key may only read",
                f"The key {caller.name} has the role read.",
                "Use a key with the role write (`lakehouse api-key NAME --role write`).",
            )
        return caller

    def _known(self, headers: Mapping[str, str]) -> Caller:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not given:
            raise _unauthorized("The request has no key.")
        # Keys are 256 random bits, so a plain hash keeps them; a slow one would only slow the API.
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for name, key in self._keys.items():
            if hmac.compare_digest(digest, key.sha256):
                found = Caller(name, key.role)
        if found is None:
            raise _unauthorized("The key is not known.")
        return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unauthorized(detail: str) -> ApiProblem:
    return ApiProblem(
        401,
        "unauthorized",
        "A key is needed",
        detail,
        "Send `Authorization: Bearer KEY` (or `X-API-Key: KEY`); `lakehouse api-key NAME` makes one.",
        headers={"WWW-Authenticate": 'Bearer realm="lakehouse"'},
    )


class RateLimit:
    """A bucket of tokens for each caller, refilled evenly; as many at once as a minute allows."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, caller: str) -> None:
        """Takes one token.

        Raises:
            ApiProblem: the bucket is empty (429, with the seconds until there is a token).
        """
        if not self._per_minute:
            return
        now = time.monotonic()
        tokens, since = self._buckets.pop(caller, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - since) * self._per_minute / 60)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > REMEMBERED_CALLERS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = max(1, round((1 - tokens) * 60 / self._per_minute + 0.5))
            raise ApiProblem(
                429,
                "too-many-requests",
                "Too many requests",
                f"{caller} may ask {self._per_minute} times a minute.",
                f"Wait {wait} s; listen to /kpis/stream instead of polling.",
                headers={"Retry-After": str(wait)},
            )
