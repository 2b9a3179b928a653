"""Pure decisions: restart, backoff, ordering, reload diff."""
