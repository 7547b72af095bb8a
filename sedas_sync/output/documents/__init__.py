"""The JSON documents that commands print with `--json`, one class for each object in them.

A class is made from a command's result by its method `of`, encodes itself with msgspec, and is the source of its own
JSON Schema: see `sedas_sync.output.json_schema`.
"""
