/* The workload of the benchmarks: no C library, a few KB, so that what is measured is the supervisor and not the worker.
 * Its first act is to read CLOCK_MONOTONIC. FIFO gets lines "S TAG NANOSECONDS".
 *
 *   stamp                       sleep until SIGTERM or SIGINT, as PID 1 too; exit 0
 *   stamp true                  exit 0
 *   stamp FIFO TAG              stamp; exit 0
 *   stamp FIFO TAG idle         stamp; sleep until SIGTERM or SIGINT
 *   stamp FIFO TAG crash MS     stamp; sleep MS; stamp again with X in place of S; exit 1
 */
#include <asm/unistd.h>
#include <stdint.h>

struct timespan {
    long s, ns;
};

static long call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                  x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
#error "stamp.c knows x86-64 and arm64"
#endif
}

static uint64_t now(void) {
    struct timespan t;
    call(__NR_clock_gettime, 1, (long)&t, 0, 0);
    return (uint64_t)t.s * 1000000000u + t.ns;
}

static void stamp(long fifo, char kind, const char *tag, uint64_t at) {
    char line[128], digits[24];
    int used = 0, count = 0;
    line[used++] = kind;
    line[used++] = ' ';
    for (int i = 0; tag[i] && i < 64; i++)
        line[used++] = tag[i];
    line[used++] = ' ';
    do
        digits[count++] = '0' + at % 10;
    while (at /= 10);
    while (count)
        line[used++] = digits[--count];
    line[used++] = '\n';
    call(__NR_write, fifo, (long)line, used, 0);
}

static void leave(int status) { call(__NR_exit_group, status, 0, 0, 0); }

static void rest(void) {
    uint64_t signals = 1u << (15 - 1) | 1u << (2 - 1); /* SIGTERM, SIGINT */
    call(__NR_rt_sigprocmask, 0, (long)&signals, 0, 8);
    while (call(__NR_rt_sigtimedwait, (long)&signals, 0, 0, 8) < 0)
        ;
    leave(0);
}

__attribute__((used, noreturn)) static void begin(long *stack) {
    uint64_t at = now();
    long count = stack[0];
    char **words = (char **)(stack + 1);
    if (count == 2)
        leave(0);
    if (count < 3)
        rest();
    long fifo = call(__NR_openat, -100, (long)words[1], 1 | 02000000, 0); /* AT_FDCWD, O_WRONLY | O_CLOEXEC */
    if (fifo < 0)
        leave(96);
    stamp(fifo, 'S', words[2], at);
    if (count > 4) {
        long ms = 0;
        for (const char *digit = words[4]; *digit; digit++)
            ms = ms * 10 + *digit - '0';
        struct timespan span = {ms / 1000, ms % 1000 * 1000000};
        call(__NR_nanosleep, (long)&span, 0, 0, 0);
        stamp(fifo, 'X', words[2], now());
        leave(1);
    }
    if (count > 3)
        rest();
    leave(0);
    __builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n hlt\n");
#else
__asm__(".globl _start\n_start:\n mov x0, sp\n bl begin\n brk 0\n");
#endif
