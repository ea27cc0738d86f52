"""What programs call themselves that ask a service only whether it is there."""

PROBES = (
    "kube-probe/",
    "GoogleHC/",
    "GoogleStackdriverMonitoring-UptimeChecks",
    "ELB-HealthChecker/",
    "Amazon-Route53-Health-Check-Service",
    "Edge Health Probe",
    "Load Balancer Agent",
    "Cloudflare-Healthchecks/",
    "Envoy/HC",
    "Consul Health Check",
    "Blackbox Exporter",
    "Uptime-Kuma/",
    "UptimeRobot/",
    "Better Uptime Bot",
    "Pingdom.com_bot",
    "StatusCake",
    "Site24x7",
    "Datadog/Synthetics",
    "Gatus/",
)
"""What the user agents of Kubernetes, of balancers and of monitors contain."""
