"""A plain HTTP client for the sandbox, and a clock that goes when it is told to."""

from typing import Any

import requests

from sedas_sync.sandbox import Sandbox

HARWELL = "POLYGON ((-1.3295 51.5881,-1.3013 51.5872,-1.3020 51.5621,-1.3300 51.5622,-1.3295 51.5881))"
WORLD = "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Client:
    """Speaks to a sandbox as a careful person would, and takes whatever comes back."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.login()

    def login(self) -> None:
        answer = self.call("POST", "authentication", json={"username": "sandbox", "password": "sandbox"})
        self.session.headers["Authorization"] = f"Token {answer.json()['token']}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.sandbox.url + path, timeout=20, **more)

    def get(self, url: str, **more: Any) -> requests.Response:
        return self.session.get(url, timeout=20, **more)

    def search(
        self,
        wkt: str = HARWELL,
        start: str = "2019-04-30T00:00:00Z",
        stop: str = "2019-05-12T23:59:59Z",
        sensor: str = "All",
        filters: dict[str, Any] | None = None,
        **more: Any,
    ) -> requests.Response:
        body = {
            "sensorFilters": {"type": sensor},
            "filters": filters or {},
            "aoiWKT": wkt,
            "start": start,
            "stop": stop,
            **more,
        }
        return self.call("POST", "search", json={key: value for key, value in body.items() if value != ...})

    def products(self, *args: Any, **more: Any) -> list[dict[str, Any]]:
        answer = self.search(*args, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["products"]
