"""`make bench`: measure, print, and write build/bench.json. Names choose some: make bench ARGS="push pull"."""

from tests.bench import (
    device_store,
    first_sync,
    growth,
    live,
    load_curve,
    local_writes,
    many_devices,
    media_checks,
    parts,
    patrol_day,
    push_pull,
    start,
    uploads,
)
from tests.bench.command import main
from tests.bench.running import BOTH, Benchmark

BENCHMARKS = {
    "start": Benchmark("starting the server, and an idle one", start.measure, BOTH),
    "push": Benchmark("pushes of 100 changes by 8 devices", push_pull.push, BOTH),
    "pull": Benchmark("pulls of 10,000 records by 8 devices", push_pull.pull, BOTH),
    "parts": Benchmark("where the processor time of a push goes", parts.measure, BOTH),
    "load-curve": Benchmark("throughput and latency of pushes by 1 to 64 devices", load_curve.measure, BOTH),
    "growth": Benchmark("pushes while the store grows to 2,000,000 records", growth.measure, BOTH),
    "first-sync": Benchmark("first sync of 500,000 components", first_sync.measure, BOTH),
    "live": Benchmark("from a push to the pull of 200 listening devices", live.measure, BOTH),
    "many-devices": Benchmark("15,000 devices that come online within two minutes", many_devices.measure, BOTH),
    "local-writes": Benchmark("writes on the device", local_writes.measure),
    "device-store": Benchmark("a store of 500,000 records", device_store.measure),
    "patrol-day": Benchmark("a day's patrol on the wire", lambda place: patrol_day.measure(place.folder)),
    "uploads": Benchmark("uploads of 64 MiB, and of 50 phones at once", uploads.measure),
    "media-checks": Benchmark("checks of a 12-megapixel photo", media_checks.measure),
}


main(BENCHMARKS, "bench", __doc__ or "")
