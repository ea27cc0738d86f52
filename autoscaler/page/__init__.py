"""The page: what the fleet does and why, for a browser. Read-only, and computed only while somebody looks.

* `history`: an hour of each service in memory; `decisions`: its decisions, those that changed nothing gathered.
* `live`: the newest of everything that is known of the services of this process.
* `tables`: the figures of charts; PNG, SVG and notebooks draw from the same tables.
* `snapshot`: what a viewer gets, as JSON values, `candidates` among them; `board`: which of it is computed when.
* `events`: one stream of events for all viewers; `http`: answers, headers and limits; `address`: where it listens.
* `html`: the document of the first answer. Scripts and styles are in the folder assets; data.d.ts types what they get.
* `lean`: the scripts as they are sent.

Sentences and steps in words come from `autoscaler.explain`. What is wired to what: `autoscaler.app`.
"""
