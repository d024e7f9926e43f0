"""LMCache: Tarn as an L2 store, by its `native_plugin` adapter. The data path is C++ alone.

    --l2-adapter '{"type": "native_plugin", "module_path": "tarn.adapters.lmcache",
      "class_name": "TarnConnector", "adapter_params": {"revision": "COMMIT", "dtype": "bfloat16"}}'

LMCache tells a plugin the model's name, the rank, the chunk's hash and the cache salt, and nothing
of what else decides the bytes: `revision` (of the weights) and `dtype` (of the KV) do it here.
There is no delete: Tarn evicts by itself.
"""

import tarn
from tarn._core import LmcacheConnector

TIMEOUT_MS = 5000


class TarnConnector(LmcacheConnector):
    """The plugin's class. `endpoint` and `credentials` as of tarn.ClientOptions, `timeout_ms` of
    each batch, `copies` as of tarn.CallOptions; `layout` tells apart what else differs. Tarn may be
    away, at the start as well: batches then fail at once. Raises ValueError without an identity.
    """

    def __init__(self, revision="", dtype="", layout="", endpoint="", credentials="", **call):
        if not revision or not dtype:
            raise ValueError('adapter_params: set "revision" (of the weights) and "dtype" (of KV)')
        spec = tarn.SpaceSpec(
            model="lmcache",
            revision=revision,
            dtype=dtype,
            layout=f"lmcache chunk: {layout}",
            hash_scheme="lmcache_key_sha256",
            hash_seed="",
            flat=True,
        )
        options = tarn.CallOptions(**({"timeout_ms": TIMEOUT_MS} | call))
        client = tarn.ClientOptions(
            endpoint=endpoint, credentials=credentials, timeout_ms=options.timeout_ms
        )
        super().__init__(client, spec, options)
