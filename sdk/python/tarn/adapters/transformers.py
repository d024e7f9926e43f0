"""Hugging Face transformers (5.x): a conversation's KV cache is saved here and resumed anywhere.

    kv = Conversations(tarn.Client.connect(), model)
    cache = kv.resume(session_id)                # what Tarn has of it; kv.begin() for a new one
    ids = torch.tensor([cache.tokens + prompt])
    output = model.generate(ids, past_key_values=cache)[0].tolist()
    kv.save(cache, output)                       # `cache.session_id` names it for anyone

A block is [layers, 2 (keys, values), kv_heads, block_tokens, head_dim] in the model's dtype, keys
after RoPE. Only layers that keep every token can be cut into blocks: models with sliding-window or
linear attention are refused.
"""

import struct

import tarn
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

HASH_SCHEME, HASH_SEED = "sha256_cbor", "0"
KEPT = (tarn.Outcome.ok, tarn.Outcome.exists, tarn.Outcome.kept_less)


class ConversationCache(DynamicCache):
    """A DynamicCache that knows its session. One-thread.

    `tokens` are all tokens of the session; the cache holds the KV of the first ones, always whole
    blocks right after resume(). `version` is that of the session's manifest.
    """

    def __init__(self, config, session_id):
        super().__init__(config=config)
        for layer in self.layers:
            if type(layer) is not DynamicLayer:
                name = type(layer).__name__
                raise ValueError(f"{name}: its KV cannot be cut into blocks of tokens")
        self.session_id = session_id
        self.version = 1
        self.tokens = []
        self.saved_blocks = 0  # of the manifest
        self.kept_blocks = 0  # known to be in Tarn: those after them are put by save()


class Conversations:
    """Sessions of one model in Tarn. May be used by many threads, a cache by one at a time.

    `revision` names the weights: by default the commit that transformers has recorded; a model of a
    local folder has none, so name one. `adapter` is the LoRA that is active, `salt` keeps what
    users share apart; both are part of each block's hash. `copies` as of tarn.CallOptions.
    Raises ValueError for what cannot be told apart or cut; tarn.Error as Client.open_space() does.
    """

    def __init__(self, client, model, *, block_tokens=32, revision="", adapter="", salt="", **call):
        self.config = model.config.get_text_config(decoder=True)
        self.device, self.dtype = model.device, model.dtype
        self.call = tarn.CallOptions(**call)
        self.extra = [adapter, salt] if adapter or salt else []
        _refuse_unnamed_adapter(model, adapter)
        ConversationCache(self.config, "")
        self.hasher = tarn.Hasher.open(HASH_SCHEME, HASH_SEED, block_tokens)
        self.block_shape = _block_shape(self.config, block_tokens)
        self.block_tokens = block_tokens
        self.space = client.open_space(_spec(model, self.block_shape, revision))

    def begin(self, session_id="", ttl_ms=0):
        """Makes a new session; an empty id draws one. Returns: its empty ConversationCache.

        Raises tarn.Error: exists, unavailable, deadline_exceeded.
        """
        session = self.space.create_session(session_id, ttl_ms)
        return ConversationCache(self.config, session.id)

    def resume(self, session_id):
        """Brings a session back from its id. Returns: its ConversationCache.

        Blocks that are gone are no error: the cache ends before the first of them, and what comes
        after is computed by whoever goes on. Raises tarn.Error: miss (no such session), and what
        Session.resolve() raises.
        """
        manifest = self.space.open_session(session_id).resolve()
        cache = ConversationCache(self.config, session_id)
        cache.version = manifest.version
        cache.tokens = list(manifest.token_ids) + _decode_tail(manifest.tail)
        hashes = self.hasher.hash(cache.tokens, self.extra)[: len(manifest.blocks)]
        if hashes == list(manifest.blocks):  # else of another adapter or salt: nothing is ours
            self._fetch(cache, hashes)
        cache.saved_blocks = len(manifest.blocks)
        return cache

    def begin_with_prefix(self, tokens, session_id="", ttl_ms=0):
        """Makes a new session that begins with what any session has stored of these tokens.

        One token at least stays to be computed. Returns and raises as begin().
        """
        cache = self.begin(session_id, ttl_ms)
        hashes = self.hasher.hash(tokens[:-1], self.extra)
        self._fetch(cache, hashes[: self.space.match(hashes).matched] if hashes else [])
        cache.tokens = list(tokens[: cache.get_seq_length()])
        return cache

    def save(self, cache, tokens):
        """Stores the blocks that became full, or were lost, and appends them and the other tokens.

        `tokens` (ints) are all of the conversation, the ones that the cache has the KV of first.
        When it returns, anyone can resume from here. Raises tarn.Error: conflict (another worker
        went on with the session), unavailable, overloaded, deadline_exceeded: the cache is good
        still, and save() may be tried again; ValueError for another batch size than 1.
        """
        held = min(cache.get_seq_length(), len(tokens))
        hashes = self.hasher.hash(tokens[:held], self.extra)
        before, total = cache.saved_blocks, len(hashes)
        if total < before:
            raise ValueError(f"tokens: fewer than the {before} blocks that the session has")
        self._put(cache, hashes)
        what = tarn.Append(
            blocks=hashes[before:],
            token_count=len(tokens),
            token_ids=tokens[before * self.block_tokens : total * self.block_tokens],
            tail=_encode_tail(tokens[total * self.block_tokens :]),
        )
        cache.version = self.space.open_session(cache.session_id).append(cache.version, what)
        cache.saved_blocks, cache.tokens = total, list(tokens)

    def _fetch(self, cache, hashes):
        """Fills an empty cache with the usable prefix of these blocks."""
        if not hashes:
            return
        memory = torch.empty((len(hashes), *self.block_shape), dtype=self.dtype)
        blocks = zip(hashes, memory, strict=True)
        items = [tarn.GetItem(hash=name, slices=[_bytes_of(block)]) for name, block in blocks]
        with self.space.get_kv(items, self.call) as transfer:
            transfer.wait()
            outcomes = [outcome.outcome for outcome in transfer.outcomes()]
        usable = next((i for i, o in enumerate(outcomes) if o != tarn.Outcome.ok), len(hashes))
        if usable:
            _fill(cache, memory[:usable].to(self.device))
        cache.kept_blocks = usable

    def _put(self, cache, hashes):
        before = cache.kept_blocks
        if len(hashes) <= before:
            return
        begin, end = before * self.block_tokens, len(hashes) * self.block_tokens
        memory = _cut(cache, begin, end, self.block_shape)
        items = []
        for index, block in enumerate(memory, before):
            parent = hashes[index - 1] if index else b""
            slices = [_bytes_of(block)]
            items.append(tarn.PutItem(hash=hashes[index], parent=parent, slices=slices))
        with self.space.put_kv(items, self.call) as transfer:
            transfer.wait()
            for outcome in transfer.outcomes():
                if outcome.outcome not in KEPT:
                    raise tarn.Error(outcome.outcome, f"put: {outcome.message}")
        cache.kept_blocks = len(hashes)


def _refuse_unnamed_adapter(model, adapter):
    has_adapters = getattr(model, "_hf_peft_config_loaded", False) or hasattr(model, "peft_config")
    if has_adapters and not adapter:
        raise ValueError("adapter: the model has one, and its KV is another: name it")


def _block_shape(config, block_tokens):
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return (config.num_hidden_layers, 2, heads, block_tokens, head_dim)


def _spec(model, block_shape, revision):
    revision = revision or getattr(model.config, "_commit_hash", None)
    if not revision:
        raise ValueError("revision: the model has no commit; name its weights, by a digest of them")
    if not model.config.name_or_path:
        raise ValueError("model.config.name_or_path: the model has no name")
    layers, _, heads, block_tokens, head_dim = block_shape
    return tarn.SpaceSpec(
        model=model.config.name_or_path.rstrip("/").rpartition("/")[2],
        revision=revision,
        dtype=str(model.dtype).removeprefix("torch."),
        layout=f"transformers: layers {layers}, 2, kv_heads {heads}, tokens, head_dim {head_dim}",
        block_tokens=block_tokens,
        hash_scheme=HASH_SCHEME,
        hash_seed=HASH_SEED,
    )


def _bytes_of(block):
    """A contiguous host tensor as what has the buffer protocol, whatever its dtype."""
    return block.view(torch.uint8).numpy()


def _cut(cache, begin, end, block_shape):
    """Blocks of the tokens begin to end: a new host tensor [blocks, *block_shape]."""
    layers, _, heads, block_tokens, head_dim = block_shape
    if len(cache.layers) != layers:
        raise ValueError(f"cache: {len(cache.layers)} layers; {layers} expected")
    parts = []
    for layer in cache.layers:
        for tensor in (layer.keys, layer.values):
            if tensor.shape[:2] != (1, heads) or tensor.shape[3] != head_dim:
                raise ValueError(f"cache: {list(tensor.shape)}; [1, {heads}, n, {head_dim}] needed")
            parts.append(tensor[0, :, begin:end].unflatten(1, (-1, block_tokens)))
    rows = torch.stack(parts).unflatten(0, (layers, 2))
    return rows.permute(3, 0, 1, 2, 4, 5).contiguous().cpu()


def _fill(cache, memory):
    """Gives an empty cache the KV of blocks [blocks, *block_shape]."""
    for index in range(memory.shape[1]):
        keys, values = memory[:, index].permute(1, 2, 0, 3, 4).flatten(2, 3)
        cache.update(keys[None].contiguous(), values[None].contiguous(), index)


def _encode_tail(tokens):
    return struct.pack(f"<{len(tokens)}I", *tokens)


def _decode_tail(blob):
    return list(struct.unpack(f"<{len(blob) // 4}I", blob))
