"""What programs in Python answer to tarn-bench: the words of a report::Slice."""

# As of report::LatencyHistogram.
SPLIT_BITS = 7
NS_MAX = 1 << 40


def bucket_of(ns):
    """The bucket of LatencyHistogram that a latency belongs to."""
    ns = min(ns, NS_MAX)
    if ns < 2 << SPLIT_BITS:
        return ns
    shift = ns.bit_length() - 1 - SPLIT_BITS
    return (shift << SPLIT_BITS) + (ns >> shift)


def slice_words(blocks, block_bytes, errors, wall_ns, cpu_ns, latencies):
    """The words; `latencies` counts by bucket."""
    seen = ",".join(f"{bucket}:{count}" for bucket, count in sorted(latencies.items()))
    return f"{blocks} {blocks * block_bytes} {errors} {wall_ns} {cpu_ns} {seen or '-'}"
