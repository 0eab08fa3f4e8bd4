"""The API as the dashboard asks it: one connection pool, unchanged answers not sent twice, failures in words."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from typing import Any

import httpx

from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.settings import Settings

TIMEOUT = httpx.Timeout(10.0, connect=2.0)
REMEMBERED_ANSWERS = 64
Parameter = str | int | datetime | list[str]


class ApiAwayError(ServingError):
    """The API does not answer, or says that it cannot now; trying again later may do."""


class ApiRefusedError(ServingError):
    """The API answered that the question is wrong or not allowed."""


class Api:
    """Questions to the API; safe to use from many threads.

    An answer that came with an ETag is remembered, and asked for again by it: while nothing has changed, a
    refresh costs a bare 304.
    """

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self.url = settings.api_url.rstrip("/")
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = httpx.Client(
            base_url=f"{self.url}/v1", headers=headers, timeout=TIMEOUT, transport=transport
        )
        self._answers: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str, **parameters: Parameter | None) -> dict[str, Any]:
        """The answer to a question; parameters that are None are left out, `from_` stands for `from`.

        Raises:
            ApiAwayError: nobody answers, or the API has lost its database.
            ApiRefusedError: the question was refused; the message says why.
        """
        request = self._client.build_request("GET", path, params=_parameters(parameters))
        asked = str(request.url)
        with self._lock:
            known = self._answers.get(asked)
        if known:
            request.headers["If-None-Match"] = known[0]
        response = self._sent(request)
        if known and response.status_code == 304:
            return dict(known[1])
        answer: dict[str, Any] = response.json()
        if etag := response.headers.get("etag"):
            with self._lock:
                self._answers[asked] = (etag, answer)
                self._answers.move_to_end(asked)
                while len(self._answers) > REMEMBERED_ANSWERS:
                    self._answers.popitem(last=False)
        return answer

    def pages(self, path: str, **parameters: Parameter | None) -> list[dict[str, Any]]:
        """All rows of a question that is answered in pages."""
        answer = self.get(path, **parameters)
        rows = list(answer["data"])
        while cursor := answer.get("next_cursor"):
            answer = self.get(path, **parameters, cursor=cursor)
            rows.extend(answer["data"])
        return rows

    def csv(self, path: str, **parameters: Parameter | None) -> bytes:
        """The same answer as CSV, the first page of it."""
        request = self._client.build_request(
            "GET", path, params=_parameters(parameters), headers={"Accept": "text/csv"}
        )
        return self._sent(request).content

    def acknowledge(self, alert_id: str, by: str) -> dict[str, Any]:
        """Takes an alert on; the answer names whoever did so first."""
        request = self._client.build_request("POST", f"/alerts/{alert_id}/acknowledge", json={"by": by})
        answer: dict[str, Any] = self._sent(request).json()
        return answer

    def close(self) -> None:
        """Gives the connections back."""
        self._client.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._client.send(request)
        except httpx.HTTPError as error:
            raise ApiAwayError(f"{self.url} does not answer ({type(error).__name__}).") from error
        if response.status_code in (429, 502, 503, 504):
            raise ApiAwayError(_problem(response))
        if response.is_error:
            raise ApiRefusedError(_problem(response))
        return response


def _parameters(given: dict[str, Parameter | None]) -> dict[str, str | int | list[str]]:
    return {
        name.rstrip("_"): value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in given.items()
        if value is not None
    }


def _problem(response: httpx.Response) -> str:
    """What the API says was wrong, and what to do."""
    try:
        problem = response.json()
        return f"{problem['title']}: {problem['detail']} {problem['what_to_do']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.request.url.path} answered {response.status_code}."
