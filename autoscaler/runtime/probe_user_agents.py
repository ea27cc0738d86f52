"""User agents of health probes."""

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
"""Texts in the user agents of probes of Kubernetes, load balancers and monitoring services."""
