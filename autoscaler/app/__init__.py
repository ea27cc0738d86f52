"""Puts the concrete objects together: the only room that knows adapters, policies and the controller at once.

`local` builds what one machine needs, `cluster_controller` and `cluster_gateway` what runs in Kubernetes.
"""
