"""Reads Knative Services: `reader` all of one, `scaling` what decides, `pods` and `pools` what runs and where.

`settings_table` says where each of Knative's settings goes in a policy, `hand_over` in which steps the service moves.
"""
