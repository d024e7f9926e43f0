"""A Llama-shaped decoder in NumPy whose KV cache is the same bytes however it was computed.

RMSNorm, RoPE, grouped-query attention and SwiGLU in float32, with seeded random weights over a
vocabulary of bytes. It stands in for a GPU engine: what matters is that it is a real transformer
whose KV is expensive, and that the KV of a token can be checked byte for byte.

Floating-point sums depend on their order, and BLAS chooses the order by the shapes it is given. So
this decoder never lets a shape depend on what is computed together:

- Rows are computed in tiles of `TILE_ROWS`, aligned to absolute positions. A token is always row
  `position % TILE_ROWS` of its tile; rows that are not wanted are zeros, their results are dropped.
- Weights lie in panels of `PANEL_COLUMNS` columns: each product is one small GEMM of one fixed
  shape. (Below M * N * K = 10^6 OpenBLAS also spends no time on packing: twice as fast for a tile.)
- A tile attends over whole panels of `PANEL_KEYS` keys up to its own end. The keys after a row are
  masked to a weight of exactly zero, so their values, which may not exist yet, add nothing.

A matrix product never mixes rows, so a row depends only on its own token, its position and the KV
before it: prefill at once, in pieces or token by token gives equal bytes, also when blocks came
from elsewhere. This holds between processes on one kind of processor and one build of NumPy: BLAS
picks its kernels by processor.
"""

import dataclasses
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: a sum split over threads is another sum

import numpy as np  # noqa: E402

TILE_ROWS = 4
PANEL_COLUMNS = 64
PANEL_KEYS = 64
PREFILL_ROWS = 256  # rows that go through a layer together; only bounds the memory of intermediates


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shapes of the decoder; `max_tokens` bounds a sequence."""

    layers: int = 8
    hidden: int = 512
    heads: int = 8
    kv_heads: int = 4
    intermediate: int = 1024
    vocabulary: int = 256
    block_tokens: int = 16
    max_tokens: int = 16384
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5
    weight_std: float = 0.15

    @property
    def head_dim(self):
        """Columns of one head."""
        return self.hidden // self.heads

    @property
    def block_shape(self):
        """Shape of one block: [layers, 2 (K, V), kv_heads, block_tokens, head_dim]."""
        return (self.layers, 2, self.kv_heads, self.block_tokens, self.head_dim)

    @property
    def block_bytes(self):
        """Bytes of one block of float32 values."""
        return int(np.prod(self.block_shape)) * 4

    def geometry(self):
        """What must be equal for KV to be exchanged, as one string: the model's part of a space."""
        return (
            f"numpy-llama/l{self.layers}/h{self.hidden}/q{self.heads}/kv{self.kv_heads}"
            f"/i{self.intermediate}/b{self.block_tokens}/f32"
        )


class KvCache:
    """The KV of one sequence, laid out for attention; in and out it speaks blocks.

    One-thread. Keys (after RoPE) are kept transposed in panels,
    [layers, kv_heads, panels, head_dim, PANEL_KEYS], values as
    [layers, kv_heads, panels, PANEL_KEYS, head_dim]. `length` is the count of tokens present;
    positions after it hold zeros or older finite values and are given no weight.
    """

    def __init__(self, config, capacity):
        """Makes an empty cache for `capacity` tokens, rounded up to whole panels of keys."""
        if not 0 < capacity <= config.max_tokens:
            raise ValueError(f"capacity is {capacity}; it must lie in 1..{config.max_tokens}")
        panels = -(-capacity // PANEL_KEYS)
        head = (config.layers, config.kv_heads, panels)
        self.config = config
        self.capacity = panels * PANEL_KEYS
        self.length = 0
        self._expected = None
        self.keys = np.zeros((*head, config.head_dim, PANEL_KEYS), np.float32)
        self.values = np.zeros((*head, PANEL_KEYS, config.head_dim), np.float32)

    @property
    def full_blocks(self):
        """Count of blocks whose every token is in the cache."""
        return self.length // self.config.block_tokens

    def block(self, index):
        """A contiguous float32 copy of block `index`, of `config.block_shape`."""
        if not 0 <= index < self.full_blocks:
            raise IndexError(f"block {index} is not full: the cache has {self.full_blocks} blocks")
        panel, keys = self._place(index)
        out = np.empty(self.config.block_shape, np.float32)
        out[:, 0] = self.keys[:, :, panel, :, keys].transpose(0, 1, 3, 2)
        out[:, 1] = self.values[:, :, panel, keys, :]
        return out

    def load_block(self, index, data):
        """Appends block `index` from `data`, any buffer of exactly `config.block_bytes` bytes.

        Blocks are loaded in order: `index` is the next block, the cache ends on a block's edge.
        """
        if index * self.config.block_tokens != self.length:
            raise ValueError(f"block {index} does not follow a cache of {self.length} tokens")
        self.reserve(self.config.block_tokens)
        block = np.frombuffer(data, np.float32).reshape(self.config.block_shape)
        panel, keys = self._place(index)
        self.keys[:, :, panel, :, keys] = block[:, 0].transpose(0, 1, 3, 2)
        self.values[:, :, panel, keys, :] = block[:, 1]
        self.length += self.config.block_tokens

    def expect_blocks(self, count, arrive):
        """Counts `count` more blocks as present that are still on their way, layer by layer.

        The first forward pass calls `arrive(layer)` before it attends to a layer; it waits, and
        returns [count, 2, kv_heads, block_tokens, head_dim]. What it raises ends that pass: make
        another cache then. One such run of blocks at a time.
        """
        first = self.full_blocks
        if first * self.config.block_tokens != self.length or self._expected is not None:
            raise ValueError(f"blocks do not follow a cache of {self.length} tokens")
        self.extend(count * self.config.block_tokens)
        if count:
            self._expected = [range(first, first + count), arrive, 0]

    def land(self, layer):
        """Waits for `layer` of the expected blocks, if it has not landed yet."""
        if self._expected is None or layer < self._expected[2]:
            return
        blocks, arrive, _ = self._expected
        rows = arrive(layer)
        for index, block in zip(blocks, rows, strict=True):
            panel, keys = self._place(index)
            self.keys[layer, :, panel, :, keys] = block[0].transpose(0, 2, 1)
            self.values[layer, :, panel, keys, :] = block[1]
        self._expected[2] = layer + 1
        if layer + 1 == self.config.layers:
            self._expected = None

    def truncate(self, length):
        """Keeps the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot keep {length} of {self.length} tokens")
        self.length = length

    def write(self, layer, first, keys, values):
        """Stores a layer's rows from `first` on; both arrays are [kv_heads, rows, head_dim]."""
        done = 0
        while done < keys.shape[1]:
            panel, offset = divmod(first + done, PANEL_KEYS)
            count = min(keys.shape[1] - done, PANEL_KEYS - offset)
            rows, into = slice(done, done + count), slice(offset, offset + count)
            self.keys[layer, :, panel, :, into] = keys[:, rows].transpose(0, 2, 1)
            self.values[layer, :, panel, into, :] = values[:, rows]
            done += count

    def extend(self, count):
        """Counts `count` more tokens as present, once every layer was written."""
        self.reserve(count)
        self.length += count

    def reserve(self, count):
        """Raises ValueError unless `count` more tokens fit."""
        if self.length + count > self.capacity:
            raise ValueError(f"{self.length} + {count} tokens exceed the capacity {self.capacity}")

    def _place(self, index):
        panel, offset = divmod(index * self.config.block_tokens, PANEL_KEYS)
        return panel, slice(offset, offset + self.config.block_tokens)


class Model:
    """The decoder's weights and forward pass. Immutable after construction; thread-safe."""

    def __init__(self, seed, config=ModelConfig()):
        """Draws all weights from `seed`, normal with a deviation of `config.weight_std`."""
        self.config = config
        self._random = np.random.default_rng(seed)
        c = config
        self._embedding = self._draw(c.vocabulary, c.hidden)
        self._layers = [
            {
                "qkv": self._panels(c.hidden, (c.heads + 2 * c.kv_heads) * c.head_dim),
                "out": self._panels(c.hidden, c.hidden),
                "gate_up": self._panels(c.hidden, 2 * c.intermediate),
                "down": self._panels(c.intermediate, c.hidden),
            }
            for _ in range(c.layers)
        ]
        self._head = self._panels(c.hidden, c.vocabulary)
        self._cos, self._sin = _rope_tables(c)

    def empty_cache(self, capacity):
        """A cache for `capacity` tokens of this model."""
        return KvCache(self.config, capacity)

    def prefill(self, tokens, cache):
        """Appends `tokens`, a non-empty list of ids; returns the next token, greedily."""
        if not tokens:
            raise ValueError("prefill needs at least one token")
        cache.reserve(len(tokens))
        done = 0
        while done < len(tokens):
            room = PREFILL_ROWS - cache.length % PREFILL_ROWS
            piece = tokens[done : done + room]
            last = self._forward(piece, cache)
            done += len(piece)
        logits = _project(_normed(last, self.config.norm_epsilon), self._head)
        row = (cache.length - 1) % TILE_ROWS
        return int(logits[0, row].argmax())

    def step(self, token, cache):
        """Appends one token to `cache`; returns the next one, greedily."""
        return self.prefill([token], cache)

    def _forward(self, tokens, cache):
        """Runs all layers; returns the hidden rows of the last tile, [1, TILE_ROWS, hidden]."""
        first, end = cache.length, cache.length + len(tokens)
        begin = first // TILE_ROWS * TILE_ROWS
        tiles = -(-(end - begin) // TILE_ROWS)
        x = np.zeros((tiles, TILE_ROWS, self.config.hidden), np.float32)
        x.reshape(-1, self.config.hidden)[first - begin : end - begin] = self._embedding[tokens]
        for layer, weights in enumerate(self._layers):
            normed = _normed(x, self.config.norm_epsilon)
            heads = self._rotated_heads(normed, weights["qkv"], begin)
            self._store(heads, layer, cache, (begin, first, end))
            cache.land(layer)
            x += _project(self._attention(heads, layer, cache, begin), weights["out"])
            x += self._mlp(_normed(x, self.config.norm_epsilon), weights)
        cache.extend(len(tokens))
        return x[-1:]

    def _rotated_heads(self, x, weight, begin):
        """Query and key heads after RoPE, and value heads.

        Returns [tiles, heads + 2 * kv_heads, TILE_ROWS, head_dim].
        """
        heads = np.matmul(x[:, None], weight)
        turned = heads[:, : self.config.heads + self.config.kv_heads]
        half = self.config.head_dim // 2
        rows = slice(begin, begin + len(x) * TILE_ROWS)
        cos = self._cos[rows].reshape(len(x), 1, TILE_ROWS, half)
        sin = self._sin[rows].reshape(len(x), 1, TILE_ROWS, half)
        low, high = turned[..., :half].copy(), turned[..., half:].copy()
        turned[..., :half] = low * cos - high * sin
        turned[..., half:] = high * cos + low * sin
        return heads

    def _store(self, heads, layer, cache, span):
        """Writes the K and V of rows first..end of `span` (begin, first, end) to the cache."""
        begin, first, end = span
        c = self.config
        rows = heads.transpose(1, 0, 2, 3).reshape(heads.shape[1], -1, c.head_dim)
        rows = rows[c.heads :, first - begin : end - begin]
        cache.write(layer, first, rows[: c.kv_heads], rows[c.kv_heads :])

    def _attention(self, heads, layer, cache, begin):
        """Attention of each tile over the cache: [tiles, TILE_ROWS, hidden]."""
        c = self.config
        group = c.heads // c.kv_heads
        out = np.empty((len(heads), TILE_ROWS, c.heads, c.head_dim), np.float32)
        query = heads[:, : c.heads] * np.float32(c.head_dim**-0.5)
        query = query.reshape(len(heads), c.kv_heads, 1, group * TILE_ROWS, c.head_dim)
        for tile in range(len(heads)):
            position = begin + tile * TILE_ROWS
            panels = position // PANEL_KEYS + 1
            scores = np.matmul(query[tile], cache.keys[layer, :, :panels])
            edge = scores.reshape(c.kv_heads, panels, group, TILE_ROWS, PANEL_KEYS)[:, -1]
            np.copyto(edge, -np.inf, where=_FUTURE[position % PANEL_KEYS // TILE_ROWS])
            mixed = _weighted(scores, cache.values[layer, :, :panels])
            out[tile] = mixed.reshape(c.heads, TILE_ROWS, c.head_dim).transpose(1, 0, 2)
        return out.reshape(len(heads), TILE_ROWS, c.hidden)

    def _mlp(self, x, weights):
        """SwiGLU: down(silu(gate(x)) * up(x)), [tiles, TILE_ROWS, hidden]."""
        both = _project(x, weights["gate_up"])
        gate, up = both[..., : self.config.intermediate], both[..., self.config.intermediate :]
        return _project(gate / (1 + np.exp(-gate)) * up, weights["down"])

    def _draw(self, rows, columns):
        values = self._random.standard_normal((rows, columns), np.float32)
        return values * np.float32(self.config.weight_std)

    def _panels(self, rows, columns):
        """A weight matrix as panels of columns, [columns / PANEL_COLUMNS, rows, PANEL_COLUMNS]."""
        panels = columns // PANEL_COLUMNS
        return self._draw(panels * rows, PANEL_COLUMNS).reshape(panels, rows, PANEL_COLUMNS)


def _future_masks():
    """[tiles of a panel, TILE_ROWS, PANEL_KEYS]: true where the key comes after the row."""
    rows = np.arange(PANEL_KEYS).reshape(-1, TILE_ROWS, 1)
    return np.arange(PANEL_KEYS) > rows


_FUTURE = _future_masks()


def _rope_tables(config):
    """Cosines and sines of RoPE (Su et al., 2021), each [max_tokens, head_dim / 2] float32."""
    exponents = np.arange(0, config.head_dim, 2) / config.head_dim
    positions = np.arange(-(-config.max_tokens // PANEL_KEYS) * PANEL_KEYS)
    angles = np.outer(positions, config.rope_theta**-exponents)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _normed(x, epsilon):
    """RMSNorm with unit weights over the last axis (Zhang and Sennrich, 2019)."""
    mean = np.square(x).sum(-1, keepdims=True) * np.float32(1 / x.shape[-1])
    return x / np.sqrt(mean + np.float32(epsilon))


def _project(x, weight):
    """Multiplies by a weight in panels: [tiles, TILE_ROWS, rows] to [tiles, TILE_ROWS, columns]."""
    out = np.empty((len(x), TILE_ROWS, len(weight), PANEL_COLUMNS), np.float32)
    np.matmul(x[:, None], weight, out=out.transpose(0, 2, 1, 3))
    return out.reshape(len(x), TILE_ROWS, -1)


def _weighted(scores, values):
    """Softmax of `scores`, [kv_heads, panels, rows, PANEL_KEYS], times the panels of `values`.

    Returns [kv_heads, rows, head_dim]; overwrites `scores`. The softmax runs over panels and keys.
    """
    scores -= scores.max((1, 3), keepdims=True)
    np.exp(scores, out=scores)
    total = scores.sum(3).sum(1)
    return np.matmul(scores, values).sum(1) / total[..., None]
