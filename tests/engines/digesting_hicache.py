"""TarnHiCache that writes a digest of each page it moves to a file: proof that bytes are equal."""

import hashlib
import json
import pathlib

from tarn.adapters.sglang import TarnHiCache


class DigestingHiCache(TarnHiCache):
    """One line of JSON a batch in the file `digests`: {"stored" or "loaded": {key: digest}}."""

    def batch_set_v1(self, keys, host_indices, extra_info=None):
        stored = super().batch_set_v1(keys, host_indices, extra_info)
        self._note("stored", keys, host_indices, stored)
        return stored

    def batch_get_v1(self, keys, host_indices, extra_info=None):
        loaded = super().batch_get_v1(keys, host_indices, extra_info)
        self._note("loaded", keys, host_indices, loaded)
        return loaded

    def _note(self, what, keys, host_indices, flags):
        first = host_indices[:: self.mem_pool_host.page_size].tolist()
        pages = {
            key: hashlib.sha256(self._page(index)).hexdigest()
            for key, index, flag in zip(keys, first, flags, strict=True)
            if flag
        }
        with pathlib.Path(self._extra["digests"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({what: pages}) + "\n")

    def _page(self, index):
        return self.mem_pool_host.get_data_page(index, flat=True).contiguous().numpy().tobytes()
