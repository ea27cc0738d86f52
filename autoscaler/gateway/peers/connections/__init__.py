"""The connections between gateways: one for each pair, lines of JSON after both sides have proved their key.

`links` keeps one `connection` with each peer and dials again. A connection is a stream of `lines`. `handshake` proves
which gateways are at its ends, by the keys of `peer_key`. `peers` says what the lines mean.
"""
