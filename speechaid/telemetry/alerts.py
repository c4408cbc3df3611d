"""Post alerts to an operator's webhook, from its own thread: signed, in order, repeated until delivered.

Each message is one JSON object. ``X-Speechaid-Signature`` is ``sha256=`` and the HMAC-SHA256, in hex, of
``X-Speechaid-Timestamp``, a dot and the body; ``X-Speechaid-Delivery`` stays the same when a message is
repeated. Any status but a 2xx counts as not delivered; redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from speechaid import __version__
from speechaid.protocol.text import encode_json
from speechaid.retell.transport import ExchangeFailed, Session
from speechaid.rules.alerting import Alert
from speechaid.telemetry.logs import get_logger
from speechaid.telemetry.metric_table import WEBHOOK_RESULTS

log = get_logger("speechaid.alerts")

#: Messages that wait at most; past that the oldest is dropped.
QUEUE: Final = 200
#: Time limit of one whole delivery, in seconds.
DELIVERY_SECONDS: Final = 10.0
#: Delays before a repetition, in seconds; after the last one the message is given up.
PAUSES_SECONDS: Final = (1.0, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0, 300.0)
#: ``close`` waits at most this long, in seconds, while waiting messages are tried once more.
CLOSING_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Message:
    """An alert that fires, or is resolved."""

    alert: Alert
    firing: bool
    summary: str
    #: When it began to fire, and when this message was made; aware UTC.
    since: datetime
    at: datetime
    host: str

    def body(self) -> dict[str, Any]:
        """The JSON object to post; chat services show ``text``."""
        state = "firing" if self.firing else "resolved"
        return {
            "version": 1,
            "state": state,
            "alert": self.alert.name,
            "severity": self.alert.severity.value,
            "summary": self.summary,
            "meaning": self.alert.meaning,
            "remedy": self.alert.remedy,
            "since": self.since.isoformat(),
            "at": self.at.isoformat(),
            "host": self.host,
            "text": f"[{state}] {self.alert.name} on {self.host}: {self.summary}",
        }


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The signature, which a receiver computes as well and compares."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


class Webhook:
    """Posts messages one after the other; ``send`` and ``results`` may be called from any thread."""

    def __init__(
        self, url: str, secret: str | None, *, pauses_seconds: tuple[float, ...] = PAUSES_SECONDS
    ) -> None:
        self._secret = secret
        self._pauses = pauses_seconds
        # Trusts the system's certificates too: the receiver may be a server of the operator's own.
        self._session = Session(
            url, user_agent=f"speechaid/{__version__}", accept="*/*", system_certificates=True
        )
        self._waiting: deque[Message] = deque()
        self._results: Counter[str] = Counter(dict.fromkeys(WEBHOOK_RESULTS, 0))
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Queue a message; never waits."""
        with self._news:
            self._waiting.append(message)
            if len(self._waiting) > QUEUE:
                self._waiting.popleft()
                self._results["dropped"] += 1
            self._news.notify()

    def results(self) -> dict[str, int]:
        """The numbers of messages delivered, failed and dropped."""
        return dict(self._results)

    def close(self) -> None:
        """Try waiting messages once more, within ``CLOSING_SECONDS``."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._deliver(message)
            except Exception:
                log.exception("webhook.failed", alert=message.alert.name)
                self._results["failed"] += 1

    def _next(self) -> Message | None:
        with self._news:
            while not self._waiting:
                if self._closing:
                    return None
                self._news.wait()
            return self._waiting.popleft()

    def _deliver(self, message: Message) -> None:
        body = encode_json(message.body())
        delivery = uuid4().hex
        for pause in (*self._pauses, None):
            fault = self._post(body, delivery)
            if fault is None:
                self._results["delivered"] += 1
                return
            if pause is None or not self._rest(pause):
                break
            log.debug("webhook.repeated", alert=message.alert.name, fault=fault)
        self._results["failed"] += 1
        log.warning("webhook.given_up", alert=message.alert.name, fault=fault)

    def _rest(self, seconds: float) -> bool:
        """Wait before a repetition; False where there is no time left for one."""
        with self._news:
            return not self._news.wait_for(lambda: self._closing, seconds)

    def _post(self, body: bytes, delivery: str) -> str | None:
        """Post once; what went wrong, without the address, which may hold a token."""
        timestamp = str(int(time.time()))
        headers = {"X-Speechaid-Delivery": delivery, "X-Speechaid-Timestamp": timestamp}
        if self._secret is not None:
            headers["X-Speechaid-Signature"] = signature(self._secret, timestamp, body)
        try:
            answer = self._session.exchange(
                "POST", "", content=body, seconds=DELIVERY_SECONDS, headers=headers, read_content=False
            )
        except ExchangeFailed as exc:
            return f"{exc.word}: {type(exc.__cause__).__name__}"
        finally:
            self._session.close()  # alerts are minutes apart
        return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
