"""The live system: it observes each service, asks its policy, writes replicas, and records what it did and why.

`policy` is the document, `controller` decides by it, `sources` say how many requests are in flight and `targets` have
replicas; `ports` are the seams between them. `gateway` holds requests and gives each pod no more than it can take.
`app` puts the concrete objects together; `commands` are what a user types.
"""
