module inflight.dev/benchmarks/peers

go 1.21
