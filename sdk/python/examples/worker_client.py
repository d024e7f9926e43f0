"""Talks to an inference server: sends one request, yields its answers."""

import json
import socket

TIMEOUT_S = 60


class WorkerGone(Exception):
    """The worker ended or hung up before it had answered: ask another one."""


def ask(socket_path, request, timeout_s=TIMEOUT_S):
    """Yields the events that the worker answers `request` with; the last is a summary or an error.

    Raises WorkerGone when the connection fails or ends before that.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(socket_path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            for line in connection.makefile("rb"):
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                yield event
                if not {"summary", "error", "pong"}.isdisjoint(event):
                    return
        except OSError as error:
            raise WorkerGone(f"{socket_path}: {error}") from error
    raise WorkerGone(f"{socket_path}: hung up in the middle of an answer")
