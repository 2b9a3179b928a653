"""What this host offers."""
