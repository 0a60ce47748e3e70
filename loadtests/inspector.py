"""The persona of a grid inspector: reports what it finds, looks for news, is out of network now and then.

As locust has it, so that its own command serves too: `locust -f loadtests/inspector.py`, with the variables below.
"""

import os
import random
import time
from collections import Counter
from itertools import count
from typing import Any, ClassVar

import msgspec
from locust import FastHttpUser, between, task

from loadtests.field_device import FieldDevice, encode
from sync.messages import PullRequest, PullResponse, PushRequest, PushResponse

PASSWORD = "GRIDWALK_LOAD_PASSWORD"
"""The variable with the password of all accounts."""
ACCOUNTS = "GRIDWALK_LOAD_ACCOUNTS"
"""The variable with the accounts: "name:community", separated by commas; the devices are shared out among them."""
_LATER = (429, 503)
_PAGE = 5_000
_AWAY_S = 20.0
_AFTER_ABSENCE = 20
_TEXT = "人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥，建议尽快更换"


class Unserved(Exception):
    """The server answered otherwise than the call should be answered."""


class Inspector(FastHttpUser):
    """One device and its user. When it stops it asks the server how many of its changes are held."""

    wait_time = between(2, 8)
    numbers: ClassVar["count[int]"] = count()
    at_work: ClassVar[int] = 0
    put_off: ClassVar[Counter[str]] = Counter({"turned away": 0, "unanswered": 0})
    acknowledged: ClassVar[int] = 0
    lost: ClassVar[int] = 0

    def on_start(self) -> None:
        """Sign in, which enrols the device, and read what lies in the user's scopes."""
        accounts = os.environ[ACCOUNTS].split(",")
        name, community = accounts[next(self.numbers) % len(accounts)].split(":")
        self._device = FieldDevice(name)
        self._held = 0
        self._cursor: str | None = None
        self._finding = {"grid": f"{community}001", "kind": "0102", "text": _TEXT}
        session = self._call("/v1/sessions", encode(self._device.credentials(os.environ[PASSWORD])))
        self._device.token = msgspec.msgpack.decode(session)["access_token"]
        self._pull()
        Inspector.at_work += 1

    @task(6)
    def report(self) -> None:
        """One to three findings."""
        self._push(self._device.push_of(random.randint(1, 3), "finding", self._finding))

    @task(3)
    def look(self) -> None:
        """Nothing to send, but perhaps there is news."""
        self._pull()

    @task(1)
    def come_back(self) -> None:
        """Some time without network, then all of it at once."""
        time.sleep(random.uniform(0, _AWAY_S))
        self._push(self._device.push_of(_AFTER_ABSENCE, "finding", self._finding))
        self._pull()

    def on_stop(self) -> None:
        """Count what was acknowledged and is not held."""
        if self._held:
            Inspector.lost += max(0, self._held - self._answered(PushRequest([])).held)

    def _push(self, request: PushRequest) -> None:
        answer = self._answered(request)
        Inspector.acknowledged += len(answer.verdicts)
        self._held = self._device.sent

    def _answered(self, request: PushRequest) -> PushResponse:
        return msgspec.msgpack.decode(self._call("/v1/push", encode(request)), type=PushResponse)

    def _pull(self) -> None:
        more = True
        while more:
            body = encode(PullRequest(self._cursor, _PAGE))
            page = msgspec.msgpack.decode(self._call("/v1/pull", body), type=PullResponse)
            self._cursor, more = page.cursor, page.more
            self._device.stamp = max(self._device.stamp, page.stamp)

    def _call(self, path: str, body: bytes) -> bytes:
        """The answer to a call, which is made again until there is one, no earlier than the server asks for.

        Raises Unserved.
        """
        # Its annotation knows no bytes.
        data: Any = body
        while True:
            with self.client.post(path, data=data, headers=self._device.headers(path), catch_response=True) as answer:
                content = answer.content
                if answer.ok and content is not None:
                    return bytes(content)
                if content is not None and answer.status_code not in _LATER:
                    raise Unserved(f"{path}: {answer.status_code} {answer.text}")
                # Neither is a failure, nor does it take the time of an answer.
                what = "unanswered" if content is None else "turned away"
                answer.request_meta["name"] = f"{path}, {what}"
                answer.success()
                asked_s = 0.0 if content is None else float(answer.headers["Retry-After"])
            self.put_off[what] += 1
            time.sleep(asked_s + 2 * random.random())
