"""Pure: spec and host facts to a plan; errno and phase to a hint."""
