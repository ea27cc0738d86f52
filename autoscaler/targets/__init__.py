"""What the controller scales: adapters of `ports.ScaleTarget`, none of which knows another."""
