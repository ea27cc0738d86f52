module inflight.dev/nethttp

go 1.26
