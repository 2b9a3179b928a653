"""One thin function per system call: arguments typed once, OSError and nothing else."""
