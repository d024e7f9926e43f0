"""Sessions in plain folders, one per pretended storage server: the examples' seam without Tarn.

Blocks are files in the folders of `copies` servers, manifests are files replaced under a lock, so
that several worker processes may share a store and any of them may be killed. A server's death is
the loss of its folder.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import sys
import time
import uuid

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

from session_store import (  # noqa: E402
    NoSuchSession,
    Resumed,
    SessionState,
    SessionStore,
    StaleSession,
)


class FolderStore(SessionStore):
    """A SessionStore for tests. One-thread in a process; processes exclude each other by a lock."""

    def __init__(self, folder, config, copies=2):
        self.folder = pathlib.Path(folder)
        self.config = config
        self.copies = copies
        (self.folder / "sessions").mkdir(parents=True, exist_ok=True)

    @staticmethod
    def add_servers(folder, names):
        """Makes the folders of storage servers."""
        for name in names:
            (pathlib.Path(folder) / "servers" / name).mkdir(parents=True)

    def servers(self):
        """Folders of the servers that are alive."""
        return sorted((self.folder / "servers").iterdir())

    def stored_bytes(self):
        """Payload bytes on all servers."""
        return sum(f.stat().st_size for s in self.servers() for f in s.iterdir())

    def create(self):
        session_id = uuid.uuid4().hex
        self._write(session_id, {"version": 1, "blocks": [], "tokens": [], "tail": ""})
        return session_id

    def fork(self, session_id):
        new_id = uuid.uuid4().hex
        self._write(new_id, self._read(session_id) | {"version": 1})
        return new_id

    def resume(self, session_id):
        begin = time.perf_counter()
        manifest = self._read(session_id)
        state = SessionState(session_id, manifest["version"], manifest["tokens"])
        state.saved_blocks = len(manifest["blocks"])
        state.decode_tail(manifest["tail"])
        blocks, sources = [], {}
        for name in manifest["blocks"]:
            holders = [s for s in self.servers() if (s / name).exists()]
            if not holders:
                break
            blocks.append((holders[0] / name).read_bytes())
            sources[holders[0].name] = sources.get(holders[0].name, 0) + 1
        return Resumed(state, blocks, sources, (time.perf_counter() - begin) * 1e3)

    def save(self, state, blocks):
        total = state.saved_blocks + len(blocks)
        names = self._names(state.tokens, total)
        self._put(names[state.saved_blocks :], blocks)
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._read(state.session_id)["version"] != state.version:
                raise StaleSession(f"version is no longer {state.version}")
            state.version, state.saved_blocks = state.version + 1, total
            manifest = {
                "version": state.version,
                "blocks": names,
                "tokens": state.tokens[: total * self.config.block_tokens],
                "tail": state.encode_tail(self.config.block_tokens).decode(),
            }
            self._write(state.session_id, manifest)

    def put_again(self, state, first, blocks):
        names = self._names(state.tokens, first + len(blocks))
        self._put(names[first:], blocks)

    def _put(self, names, blocks):
        for name, block in zip(names, blocks, strict=True):
            servers = self.servers()
            start = int(name[:8], 16)
            for copy in range(min(self.copies, len(servers))):
                path = servers[(start + copy) % len(servers)] / name
                if not path.exists():
                    part = path.with_name(f".{name}.{os.getpid()}")
                    part.write_bytes(block.tobytes())
                    part.rename(path)

    def _names(self, tokens, count):
        """Chained hashes of the first `count` blocks of `tokens`."""
        names, parent = [], b""
        for index in range(count):
            begin = index * self.config.block_tokens
            block = bytes(tokens[begin : begin + self.config.block_tokens])
            parent = hashlib.sha256(parent + block).digest()
            names.append(parent.hex())
        return names

    def _read(self, session_id):
        try:
            return json.loads((self.folder / "sessions" / session_id).read_text())
        except FileNotFoundError:
            raise NoSuchSession(session_id) from None

    def _write(self, session_id, manifest):
        path = self.folder / "sessions" / session_id
        part = path.with_name(f".{session_id}.{os.getpid()}")
        part.write_text(json.dumps(manifest))
        part.rename(path)


def main():
    """A worker process over a FolderStore: FOLDER SOCKET SEED LAYERS [KEEP_FETCHED]."""
    import inference_server
    import llama

    folder, socket_path, seed, layers = sys.argv[1:5]
    keep_fetched = sys.argv[5] if len(sys.argv) > 5 else None
    model = llama.Model(int(seed), llama.ModelConfig(layers=int(layers)))
    store = FolderStore(folder, model.config)
    inference_server.serve(
        inference_server.InferenceServer(socket_path, model, store, keep_fetched)
    )


if __name__ == "__main__":
    main()
