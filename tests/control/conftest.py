from tests.control.fakes import fleet, socket_path

__all__ = ["fleet", "socket_path"]
