"""What any long-running program needs, whatever it is for: it knows no policy, no Kubernetes and no gateway."""
