"""SGLang HiCache: Tarn as the storage below the host cache (backend `dynamic`, interface v1).

    --hicache-storage-backend dynamic --hicache-storage-backend-extra-config '{
      "backend_name": "tarn", "module_path": "tarn.adapters.sglang", "class_name": "TarnHiCache",
      "interface_v1": 1, "revision": "COMMIT OF THE WEIGHTS"}'

Pages travel between the host pool and Tarn without a copy. Further keys: `endpoint`, `credentials`
(as of tarn.ClientOptions), `timeout_ms` (2000; of each batch), `copies` (1).
"""

import collections
import ctypes
import hashlib
import string
import threading

import tarn
import torch
from sglang.srt.mem_cache.hicache_storage import HiCacheStorage
from tarn.adapters.link import Link

TIMEOUT_MS = 2000
ZERO_COPY_LAYOUTS = ("page_first", "page_first_direct")
LOADED = (tarn.Outcome.ok,)
# What shapes a page, of the attributes that pools have.
SHAPE = ("layer_num", "head_num", "head_dim", "v_head_dim", "kv_lora_rank", "qk_rope_head_dim")
SHAPE += ("kv_cache_dim", "start_layer", "end_layer")
HEX = frozenset(string.hexdigits.lower())
KEPT = (tarn.Outcome.ok, tarn.Outcome.exists)


class TarnHiCache(HiCacheStorage):
    """Called from SGLang's prefetch and backup threads; raises nothing after the start.

    Every failure is a miss, or a page that was not kept. `counters` says what it has done, in
    pages: found, loaded, stored, not_loaded, not_stored. While Tarn is away all calls return at
    once. Raises ValueError at the start for pools whose pages cannot be told apart or moved whole.
    """

    def __init__(self, storage_config, kwargs=None):
        extra = storage_config.extra_config or {}
        _refuse(storage_config, extra)
        self._config, self._extra = storage_config, extra
        self._options = tarn.CallOptions(
            timeout_ms=int(extra.get("timeout_ms", TIMEOUT_MS)), copies=int(extra.get("copies", 1))
        )
        self._link = self._memory = None
        self._shard, _ = shard_and_count(storage_config)
        self._mutex = threading.Lock()
        self.counters = collections.Counter()

    def register_mem_pool_host(self, mem_pool_host):
        """Opens the space of the pool's pages; SGLang calls it once, before all others."""
        super().register_mem_pool_host(mem_pool_host)
        if mem_pool_host.layout not in ZERO_COPY_LAYOUTS:
            raise ValueError(
                f"hicache_mem_layout {mem_pool_host.layout}: its pages do not lie together; "
                f"--hicache-mem-layout {' or '.join(ZERO_COPY_LAYOUTS)}"
            )
        self._memory = HostMemory(mem_pool_host)
        self._link = Link(
            tarn.ClientOptions(
                endpoint=self._extra.get("endpoint", ""),
                credentials=self._extra.get("credentials", ""),
                timeout_ms=self._options.timeout_ms,
            ),
            space_spec(self._config, mem_pool_host, self._extra["revision"]),
        )

    def register_mem_host_pool_v2(self, host_pool, host_pool_name):
        """Takes the KV pool alone: what others hold would be missing when a prefix is loaded."""
        if str(host_pool_name) != "kv":
            raise ValueError(f"pool {host_pool_name}: models with more than KV are unsupported")
        super().register_mem_host_pool_v2(host_pool, host_pool_name)

    def exists(self, key):
        """Returns: is the page there?"""
        return self.batch_exists([key]) == 1

    def batch_exists(self, keys, extra_info=None):
        """Returns: how many pages, from the first on, are there with the parts of all ranks."""
        up = self._link.client_and_space()
        if up is None:
            return 0
        names = [name_of(key) for key in keys]
        try:
            found = up[1].exists(names, self._options)
        except tarn.Error as error:
            self._link.failed(error.outcome, str(error))
            return 0
        prefix = found.index(False) if False in found else len(found)
        self._count(found=prefix)
        return prefix

    def batch_get_v1(self, keys, host_indices, extra_info=None):
        """Fills the pages of `host_indices`. Returns: for each key, has it come whole?"""

        def start(space, pages):
            items = [tarn.GetItem(hash=n, slices=s, shard=self._shard) for n, s in pages]
            return space.get_kv(items, self._options)

        loaded = self._move(keys, host_indices, start, LOADED)
        self._count(loaded=sum(loaded), not_loaded=loaded.count(False))
        return loaded

    def batch_set_v1(self, keys, host_indices, extra_info=None):
        """Stores the pages of `host_indices`. Returns: for each key, is it kept?"""

        def start(space, pages):
            items = [tarn.PutItem(hash=n, slices=s, shard=self._shard) for n, s in pages]
            return space.put_kv(items, self._options)

        stored = self._move(keys, host_indices, start, KEPT)
        self._count(stored=sum(stored), not_stored=stored.count(False))
        return stored

    def close(self):
        """Ends the link; SGLang calls it when the backend is detached."""
        if self._link is not None:
            self._link.close()

    def clear(self):
        """Does nothing: what is stored belongs to all engines of the space."""

    # Abstract in the base class, for the copying interface; SGLang calls none with interface_v1.
    def get(self, key, target_location=None, target_sizes=None):
        """Returns None: a miss."""
        return None

    def batch_get(self, keys, target_locations=None, target_sizes=None):
        """Returns None: a miss of all."""
        return None

    def set(self, key, value=None, target_location=None, target_sizes=None):
        """Returns False: it is not kept."""
        return False

    def batch_set(self, keys, values=None, target_locations=None, target_sizes=None):
        """Returns False: nothing is kept."""
        return False

    def _move(self, keys, host_indices, start, wanted):
        """Runs the transfer that `start` begins and waits for its end. Returns: a bool for each."""
        up = self._link.client_and_space()
        if up is None or not keys:
            return [False] * len(keys)
        try:
            slices = self._memory.page_slices(up[0], host_indices, len(keys))
            names = [name_of(key) for key in keys]
            with start(up[1], zip(names, slices, strict=True)) as transfer:
                transfer.wait()
                outcomes = transfer.outcomes()
        except tarn.Error as error:
            self._link.failed(error.outcome, str(error))
            return [False] * len(keys)
        for outcome in outcomes:
            self._link.failed(outcome.outcome, outcome.message)
        return [outcome.outcome in wanted for outcome in outcomes]

    def _count(self, **pages):
        with self._mutex:
            self.counters.update(pages)


class HostMemory:
    """The host pool's memory, registered once with a client; made for use by many threads."""

    def __init__(self, pool):
        self._pool = pool
        names = ("kv_buffer",) if _is_host(pool, "kv_buffer") else ("k_buffer", "v_buffer")
        self._tensors = [getattr(pool, name) for name in names if _is_host(pool, name)]
        if not self._tensors:
            raise ValueError(f"{type(pool).__name__}: it has no memory of KV pages of its own")
        self._mutex = threading.Lock()
        self._buffers = None  # [(address, tarn.Buffer)]

    def page_slices(self, client, host_indices, count):
        """Returns the slices of each of `count` pages; the pool says where they lie."""
        addresses, sizes = self._pool.get_page_buffer_meta(host_indices)
        buffers = self._registered(client)
        slices = [_slice_in(buffers, a, s) for a, s in zip(addresses, sizes, strict=True)]
        per_page, rest = divmod(len(slices), count)
        if rest:
            raise tarn.Error(tarn.Outcome.internal, f"{len(slices)} runs for {count} pages")
        return [slices[i : i + per_page] for i in range(0, len(slices), per_page)]

    def _registered(self, client):
        with self._mutex:
            if self._buffers is None:
                self._buffers = [_register(client, tensor) for tensor in self._tensors]
            return self._buffers


def _is_host(pool, name):
    tensor = getattr(pool, name, None)
    return isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu" and tensor.numel() > 0


def _register(client, tensor):
    address, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
    return address, client.register_memory((ctypes.c_ubyte * size).from_address(address))


def _slice_in(buffers, address, size):
    for begin, buffer in buffers:
        if begin <= address and address + size <= begin + len(buffer):
            return buffer.slice(address - begin, size)
    raise tarn.Error(tarn.Outcome.internal, "a page lies outside the pool's memory")


def space_spec(config, pool, revision):
    """The space of a pool's pages: all that changes their bytes, but for the rank."""
    shape = [f"{name} {getattr(pool, name)}" for name in SHAPE if hasattr(pool, name)]
    parts = f"pp {config.pp_size}, cp {config.attn_cp_size}, dcp {config.dcp_size}"
    return tarn.SpaceSpec(
        model=config.model_name.rstrip("/").rpartition("/")[2],
        revision=revision,
        dtype=str(pool.dtype).removeprefix("torch."),
        layout=f"sglang {type(pool).__name__} {pool.layout}: {', '.join(shape)}; {parts}",
        block_tokens=pool.page_size,
        tensor_parallel=shard_and_count(config)[1],
        hash_scheme="sha256_u32le",
        hash_seed="",
        flat=True,
    )


def shard_and_count(config):
    """Which part of a page this rank has, of how many. All ranks of an MLA model have the same one,
    but for decode context parallelism (DCP)."""
    is_mla = config.is_mla_model
    rank = config.dcp_rank if is_mla else config.tp_rank
    size = config.dcp_size if is_mla else config.tp_size
    above = config.pp_rank * config.attn_cp_size + config.attn_cp_rank
    return above * size + rank, config.pp_size * config.attn_cp_size * size


def name_of(key):
    """The block's name: SGLang's page hash, or a hash of a key that is more than that."""
    if len(key) == 64 and set(key) <= HEX:
        return bytes.fromhex(key)
    return hashlib.sha256(key.encode()).digest()


def _refuse(config, extra):
    if not extra.get("interface_v1"):
        raise ValueError('extra config: set "interface_v1": 1, or pages would be copied twice')
    if not extra.get("revision"):
        raise ValueError('extra config: set "revision" to what names the weights: commit or digest')
    if not config.model_name:
        raise ValueError("SGLang gives the model no name: its KV could be taken for another one's")
    if config.should_split_heads:
        raise ValueError("tp_lcm_size: pages shared by other tensor-parallel sizes are unsupported")
