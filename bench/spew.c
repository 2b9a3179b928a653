/* The workload of the log benchmark: numbered lines of 100 bytes, as fast as the pipe takes them.
 *
 *   spew FIFO GATE LINES PER_WRITE   wait until somebody opens the FIFO named GATE for writing; write "S <ns>" to FIFO,
 *                                    LINES lines to standard output, PER_WRITE of them with each write, then "X <ns>";
 *                                    sleep until SIGTERM, as PID 1 too. The clock is CLOCK_MONOTONIC.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, MOST = 400 };
static char block[MOST * LINE];

static int stamp(int fifo, char kind) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return dprintf(fifo, "%c %lld\n", kind, now.tv_sec * 1000000000LL + now.tv_nsec) < 0;
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    int fifo = open(argv[1], O_WRONLY | O_CLOEXEC), gate = open(argv[2], O_RDONLY | O_CLOEXEC);
    long lines = atol(argv[3]), per = atol(argv[4]);
    if (fifo < 0 || gate < 0 || per < 1 || per > MOST)
        return 2;
    for (long i = 0; i < per * LINE; i++)
        block[i] = i % LINE == LINE - 1 ? '\n' : 'a' + i % LINE % 23;
    if (stamp(fifo, 'S'))
        return 1;
    for (long done = 0; done < lines;) {
        long count = per < lines - done ? per : lines - done;
        for (long i = 0; i < count; i++) {
            char *digit = block + i * LINE + 10;
            *digit = ' ';
            for (long rest = done + i; digit-- > block + i * LINE; rest /= 10)
                *digit = '0' + rest % 10;
        }
        for (long at = 0; at < count * LINE;) {
            long wrote = write(1, block + at, count * LINE - at);
            if (wrote < 0)
                return 1;
            at += wrote;
        }
        done += count;
    }
    if (stamp(fifo, 'X'))
        return 1;
    sigset_t leave;
    int signal;
    sigemptyset(&leave);
    sigaddset(&leave, SIGTERM);
    sigaddset(&leave, SIGINT);
    sigprocmask(SIG_BLOCK, &leave, NULL);
    sigwait(&leave, &signal);
    return 0;
}
