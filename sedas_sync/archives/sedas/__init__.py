"""SeDAS, the UK's Sentinel Data Access Service.

`archive` is the archive. It is made of `client` (login and API calls), `search`, `lookup`, `orders` and `links`.
`query`, `rows` and `answers` translate between the service's JSON and `sedas_sync.model.scene`.

If public evidence does not show which form of a call the service takes (several ids in one call, the path of orders),
the cheaper form is tried first, and the client remembers which form works.
"""
