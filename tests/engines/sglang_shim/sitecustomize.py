"""Test-only: SGLang's HiCache where there is no GPU driver. Python imports it at its start.

It stands in for what HiCache needs of CUDA: registration of host memory (accepted, not done),
streams and events (always finished), and the two copy kernels of io backend "direct" with layout
"page_first_direct" (plain copies). Without a GPU SGLang does not import those kernels, so their
names are looked up, and found, among the builtins.
"""

import builtins
import time


class CudaRuntime:
    """The part of torch.cuda.cudart() that HiCache calls."""

    class cudaError:
        success = 0

    def cudaHostRegister(self, *_):
        return 0

    def cudaHostUnregister(self, *_):
        return 0


class Event:
    """An event that has always happened."""

    def __init__(self, *_, **__):
        self.time = 0.0

    def record(self, *_):
        self.time = time.time()

    def wait(self, *_):
        pass

    def query(self):
        return True

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return (other.time - self.time) * 1e3


class Stream:
    """A stream on which all work is finished when it is issued."""

    def __init__(self, *_, **__):
        pass

    def synchronize(self):
        pass

    def wait_stream(self, _):
        pass

    def wait_event(self, _):
        pass

    def record_event(self, event=None):
        return event or Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def _pages(indices, page_size):
    """Page numbers of a flat list of token indices, which come in whole pages."""
    return (indices.cpu().view(-1, page_size)[:, 0] // page_size).tolist()


def _rows(indices, page, page_size):
    return indices.cpu()[page * page_size : (page + 1) * page_size]


def transfer_kv_all_layer_direct_lf_pf(src_ptrs, dst_ptrs, src_indices, dst_indices, page_size):
    """Device to host, all layers: layer-first device buffers into page-first host pages."""
    layers = len(src_ptrs) // len(dst_ptrs)
    for i, host in enumerate(dst_ptrs):
        for layer in range(layers):
            device = src_ptrs[i * layers + layer]
            for n, page in enumerate(_pages(dst_indices, page_size)):
                target = host[page, layer]
                target.copy_(device[_rows(src_indices, n, page_size)].view(target.shape))


def transfer_kv_per_layer_direct_pf_lf(
    src_ptrs, dst_ptrs, src_indices, dst_indices, layer_id, page_size
):
    """Host to device, one layer: page-first host pages into a layer-first device buffer."""
    for host, device in zip(src_ptrs, dst_ptrs):
        for n, page in enumerate(_pages(src_indices, page_size)):
            rows = host[page, layer_id].view(page_size, *device.shape[1:])
            device[_rows(dst_indices, n, page_size)] = rows


def install(torch):
    stream = Stream()
    torch.cuda.cudart = CudaRuntime
    torch.cpu.Stream = Stream
    torch.cpu.Event = Event
    torch.cpu.current_stream = lambda *_: stream
    torch.cpu.stream = lambda *_: Stream()
    builtins.transfer_kv_all_layer_direct_lf_pf = transfer_kv_all_layer_direct_lf_pf
    builtins.transfer_kv_per_layer_direct_pf_lf = transfer_kv_per_layer_direct_pf_lf


try:
    import torch
except ImportError:
    pass
else:
    if not torch.cuda.is_available():
        install(torch)
