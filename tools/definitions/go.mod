// Modules that hold the definitions of other projects' kinds. Their code is not built: `fetch.py` takes files out of them.
module inflight.dev/definitions

go 1.26.0

require (
	github.com/argoproj/argo-rollouts v1.9.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
	sigs.k8s.io/lws v0.7.0
)
