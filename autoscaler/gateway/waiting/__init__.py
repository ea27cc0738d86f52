"""What clients that wait learn and get meanwhile. Each part is off unless the policy asks for it.

* `held_client` follows one request: `estimate` is what is expected of its wait, `deadlines` until when its client wants
  to wait.
* `page` is what a person sees. `navigation` recognises browsers, and `place_tokens` keeps their place over refreshes.
* `events` sends comments to clients that wait for an event stream.
* `places` keeps requests in line whose client is away for a moment.

Without an estimate nothing is invented: what is unknown is left out.
"""
