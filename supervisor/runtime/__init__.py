"""The Trio side: keeper link, launcher, instances, fleet, output capture."""
