"""A seccomp profile to the program that the kernel runs at each system call."""
