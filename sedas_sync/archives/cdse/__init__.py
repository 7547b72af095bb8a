"""The Copernicus Data Space Ecosystem as an archive: `archive` is its client, `kind` what a manifest may say of it."""
