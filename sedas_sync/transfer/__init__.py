"""Downloads: from a link to a proved file under its final name. `fetch.fetch` describes the steps."""
