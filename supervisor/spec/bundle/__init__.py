"""An OCI bundle's config.json (runtime-spec 1.x) as the table of a worker, as if it were written in TOML."""
