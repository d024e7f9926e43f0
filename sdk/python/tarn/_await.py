"""`await transfer`: a put, a get or a get_views under asyncio; and calls that block, in threads."""

import asyncio


async def ended(self):
    """Waits for the end of the transfer while the event loop goes on. Returns: the transfer.

    A task that is cancelled meanwhile cancels the transfer; its memory is safe once it has ended.
    """
    fd = self.fd()
    if fd < 0:
        await asyncio.to_thread(self.wait)
        return self
    loop = asyncio.get_running_loop()
    waiting = _waiting.setdefault((loop, fd), set())
    if not waiting:
        loop.add_reader(fd, _tell, waiting)
    end = loop.create_future()
    waiting.add(end)
    try:
        if not self.poll():
            await end
    except asyncio.CancelledError:
        self.cancel()
        raise
    finally:
        waiting.discard(end)
        if not waiting:
            loop.remove_reader(fd)
            _waiting.pop((loop, fd), None)
    return self


_waiting = {}  # by event loop and descriptor: the futures of the tasks that await the transfer


def _tell(waiting):
    for end in waiting:
        if not end.done():
            end.set_result(None)


def awaiting(self):
    """What makes `await transfer` work."""
    return ended(self).__await__()


def in_thread(method):
    """A coroutine function that runs a blocking method of the package in a thread."""

    async def call(self, *args, **kwargs):
        return await asyncio.to_thread(method, self, *args, **kwargs)

    call.__doc__ = f"For asyncio: awaits, in a thread, what follows.\n\n{method.__doc__}"
    call.__name__ = f"async_{method.__name__}"
    return call
