"""Logs, event names, metrics, usage samples."""
