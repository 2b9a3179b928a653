"""The HTTP API over a unix socket: server and client."""
