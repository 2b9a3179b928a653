/* The workload of the benchmarks: static and small, so that what is measured is the supervisor and not the worker.
 *
 *   stamp FIFO   write CLOCK_MONOTONIC, read as the first act, in nanoseconds and a line of its own; exit 0
 *   stamp        sleep until SIGTERM or SIGINT, as PID 1 too; exit 0
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc > 1) {
        int fifo = open(argv[1], O_WRONLY | O_CLOEXEC);
        return fifo < 0 || dprintf(fifo, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec) < 0;
    }
    sigset_t leave;
    int signal;
    sigemptyset(&leave);
    sigaddset(&leave, SIGTERM);
    sigaddset(&leave, SIGINT);
    sigprocmask(SIG_BLOCK, &leave, NULL);
    sigwait(&leave, &signal);
    return 0;
}
