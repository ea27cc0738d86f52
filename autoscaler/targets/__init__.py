"""What can be scaled: one module for each way to start and stop replicas, all behind `ports.ScaleTarget`."""
