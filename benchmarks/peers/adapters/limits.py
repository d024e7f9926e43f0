"""What no peer can beat: raw UCX with the same checksum work, and the fused checksum and copy."""

from processes import Failed
from race.figures import Sample
from race.driver import Driver

from .base import SAME_HOST, TCP, Peer

# Buckets of the histogram that tarn-bench-ucx writes: 128 to a power of two, see
# benchmarks/report/latency_histogram.cc.
SUB_BUCKETS = 128
POOL_MIB = 544


def bucket_ns(bucket):
    """The middle of a bucket."""
    if bucket < SUB_BUCKETS:
        return bucket
    shift = bucket // SUB_BUCKETS - 1
    return ((SUB_BUCKETS + bucket % SUB_BUCKETS) << shift) + ((1 << shift) // 2)


def parse_slice(line):
    """The Sample of a line "slice BLOCKS BYTES ERRORS WALL CPU BUCKET:COUNT,..."."""
    words = line.split()
    if len(words) != 7 or words[0] != "slice":
        raise Failed(line)
    blocks, total, _, wall_ns, cpu_ns = (int(word) for word in words[1:6])
    latencies = []
    if words[6] != "-":
        for pair in words[6].split(","):
            bucket, _, count = pair.partition(":")
            latencies += [bucket_ns(int(bucket))] * int(count)
    return Sample(blocks, total, blocks, wall_ns, cpu_ns, 0, latencies)


class RawUcx(Peer):
    """tarn-bench-ucx: client and server in two processes, active messages, CRC32C on."""

    name, kind, has_exists = "raw UCX tcp", "limit", False
    note = "CPU of both sides is in the client's column"
    words = ()

    def launch(self):
        command = [self.place.program("tarn-bench-ucx"), "--pool-mib", POOL_MIB, *self.words]
        log = self.place.log(self.name, "client")
        self.driver = Driver(command, log, self.place.client_cores)
        self.transfer("get", 65536, 1, 20)

    def transfer(self, op, block_bytes, inflight, millis):
        line = f"run {op} {block_bytes} {inflight} crc {millis}"
        return parse_slice(self.driver.say(line, 60 + millis / 1000))

    def run(self, cell, seconds, **_):
        millis = max(1, round(seconds * 1000))
        if cell.block_bytes * cell.inflight > POOL_MIB << 20:
            raise Failed("so many do not fit into its memory")
        return self.transfer(cell.op, cell.block_bytes, cell.inflight, millis)

    def fill(self, block_bytes):
        """Has no keys."""

    def drop(self, block_bytes):
        """Has no keys."""


class RawUcxTcp(RawUcx):
    group = TCP


class RawUcxShm(RawUcx):
    name, group = "raw UCX shm", SAME_HOST
    words = ("--shm",)


class FusedCopy(Peer):
    """Checksum and copy out of a mapped memfd in the client's own thread."""

    name, group, kind = "fused copy", SAME_HOST, "limit"
    note = "one thread, whatever the window"

    def launch(self):
        self.raw_driver("copy", "")
