"""`await transfer.layer(n)`: a layer-wise get under asyncio."""

import asyncio

_waiting = {}  # by event loop and descriptor: the layers that tasks await, by their futures


async def layer(self, index):
    """Returns once layer `index` (from 0) of a get with CallOptions.layer_ends has landed.

    The event loop goes on meanwhile, and several tasks of it may await layers of one transfer;
    layers_ready() and wait_layer() are not for others meanwhile. Raises Error as wait_layer() does.
    """
    fd = self.layer_fd()
    if fd < 0:
        return self.wait_layer(index)
    loop = asyncio.get_running_loop()
    waiting = _waiting.setdefault((loop, fd), {})
    if not waiting:
        loop.add_reader(fd, _tell, self, waiting)
    landed = loop.create_future()
    waiting[landed] = index
    try:
        _tell(self, waiting)
        ready = await landed
    finally:
        del waiting[landed]
        if not waiting:
            loop.remove_reader(fd)
            del _waiting[(loop, fd)]
    if ready <= index:
        self.wait_layer(index)


# To look makes the descriptor unreadable, so whoever looks tells all.
def _tell(transfer, waiting):
    ready, has_ended = transfer.layers_ready(), transfer.poll()
    for landed, index in waiting.items():
        if (index < ready or has_ended) and not landed.done():
            landed.set_result(ready)
