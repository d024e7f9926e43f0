"""A plain file for each value, on the disk of the scratch folder."""

import shutil

from .base import SAME_HOST, Peer


class FileSystem(Peer):
    """Through the page cache, without fsync: what a program does that thinks of nothing."""

    name, group = "file system", SAME_HOST
    note = "page cache, no fsync, one thread whatever the window"

    def launch(self):
        self.folder = self.place.folder / "files"
        self.folder.mkdir()
        self.raw_driver("file", self.folder)

    def stop(self):
        super().stop()
        shutil.rmtree(self.place.folder / "files", ignore_errors=True)
