"""What clients that wait learn: their place, how long it should take, and how long it took.

* `estimate` is what is expected of a wait; `held_client` writes it into the headers of a request's answer.

Each part is off unless the policy asks for it. Without an estimate nothing is invented: what is unknown is left out.
"""
