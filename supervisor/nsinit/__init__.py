"""The keeper, the phase interpreter and the PID 1 reaper. Light: no dataclasses, typing, asyncio, logging."""
