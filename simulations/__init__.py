"""Offline: the same step, policies and dispatcher as the live system, driven by a heap of events instead of a clock."""
