"""A space of Tarn that may be away: absent at the start, dead, hanging, full or refusing us.

An engine must not wait for that. So a thread of the link connects, and while Tarn fails it asks
again; until then `client_and_space()` says None at once, and the engine goes on without.
"""

import logging
import os
import threading

import tarn

PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_MS = 1000
# Outcomes after which whoever asks next would fail as well, and wait for it.
AWAY = frozenset(
    {
        tarn.Outcome.unavailable,
        tarn.Outcome.deadline_exceeded,
        tarn.Outcome.unauthenticated,
        tarn.Outcome.permission_denied,
    }
)

logger = logging.getLogger("tarn.adapters")


class Link:
    """One client and one space, brought back when they fail. May be used by many threads.

    Warns once when Tarn goes away, and tells when it is back. close() ends its thread.
    """

    def __init__(self, options, spec, probe_interval_s=PROBE_INTERVAL_S):
        self._options, self._spec = options, spec
        self._interval_s = probe_interval_s
        self._mutex = threading.Lock()
        self._client = self._space = None
        self._is_up = self._is_warned = False
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._keep_up, name="tarn-link", daemon=True)
        self._thread.start()

    def client_and_space(self):
        """Returns (tarn.Client, tarn.Space), or None while Tarn is away. Never blocks."""
        with self._mutex:
            return (self._client, self._space) if self._is_up else None

    def failed(self, outcome, message):
        """A call ended so. Where Tarn is away, nobody is sent to it until it answers again."""
        if outcome not in AWAY:
            return
        with self._mutex:
            self._is_up = False
        self._warn(f"{outcome.name}: {message}")
        self._wake.set()

    def wait_up(self, timeout_s):
        """Waits for the first contact. Returns: is Tarn there? For programs that start with it."""
        waiting = threading.Event()
        remaining_s = timeout_s
        while self.client_and_space() is None and remaining_s > 0:
            waiting.wait(0.01)
            remaining_s -= 0.01
        return self.client_and_space() is not None

    def close(self):
        """Ends the thread, which may take as long as one attempt to connect. May be repeated."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _keep_up(self):
        while not self._closed:
            if self.client_and_space() is None and not self._try():
                self._wake.clear()
                self._wake.wait(self._interval_s)
                continue
            self._wake.wait()
            self._wake.clear()

    def _try(self):
        try:
            if self._client is None:
                self._client = tarn.Client.connect(self._options)
            options = tarn.CallOptions(timeout_ms=PROBE_TIMEOUT_MS)
            if self._space is None:
                self._space = self._client.open_space(self._spec, options)
            self._space.exists([os.urandom(32) for _ in range(32)], options)
        except tarn.Error as error:
            self._warn(str(error))
            return False
        with self._mutex:
            self._is_up = True
        if self._is_warned:
            logger.warning("Tarn is back and used again")
        self._is_warned = False
        return True

    def _warn(self, why):
        with self._mutex:
            was_warned, self._is_warned = self._is_warned, True
        if not was_warned:
            logger.warning("Tarn is away, going on without it: %s", why)
