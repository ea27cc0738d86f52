"""One machine, no cluster: the main job from zero to five replicas and back, with stand-ins for GPU and users."""
