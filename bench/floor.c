/* The least that a sandboxed launch can cost: one clone3 with every namespace, ids, a read-only bind of the root, proc,
 * pivot_root, exec. No checks, no capabilities, no seccomp, no log. It is there to be divided by.
 *
 *   floor [--net] ROOT PROGRAM WORD...                  launch once, wait, leave with its status
 *   floor [--net] --steps N ROOT PROGRAM WORD...        N launches; JSON: the median microseconds of each step
 *   floor [--net] --rate SECONDS N ROOT PROGRAM WORD... launch, wait and reap, N at a time; JSON: how many, how many failed
 *   floor [--net] --keep N ROOT PROGRAM WORD...         keep N alive, however they end; all die with this process
 *   --plain   no sandbox, ROOT is not used: --rate and --keep of any program
 * @N in a WORD becomes the number of the launch, with --keep that of the worker.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Not <sys/mount.h>: it and <linux/mount.h> cannot be included together everywhere. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
enum { RDONLY_ = 1, NOSUID_ = 2, NODEV_ = 4, NOEXEC_ = 8, BIND_ = 4096, REC_ = 16384, SLAVE_ = 1 << 19, DETACH_ = 2 };

enum { START, CLONE, IDS, SLAVE, BIND, READ_ONLY, PROC, PIVOT, DETACH, LOOPBACK, STEPS };
static const char *names[STEPS] = {"",           "clone3",     "id maps",         "mount / slave", "bind root",
                                   "read-only",  "mount proc", "pivot_root",      "detach old root", "loopback"};
static volatile uint64_t *steps; /* shared with the child, where asked for */
static int net, plain, dies_with_us;
static const char *root;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void reached(int step) {
    if (steps)
        steps[step] = now();
}

static void fail(const char *what) {
    dprintf(2, "floor: %s: %s\n", what, strerror(errno));
    _exit(111);
}

static void put(const char *file, const char *text) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(file);
    close(fd);
}

static void build(uid_t uid, gid_t gid) {
    char map[64];
    snprintf(map, sizeof map, "0 %u 1", uid);
    put("/proc/self/uid_map", map);
    put("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", gid);
    put("/proc/self/gid_map", map);
    reached(IDS);
    if (mount("", "/", NULL, SLAVE_ | REC_, NULL))
        fail("mount / slave");
    reached(SLAVE);
    if (mount(root, root, NULL, BIND_ | REC_, NULL))
        fail("bind root");
    reached(BIND);
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, AT_FDCWD, root, AT_RECURSIVE, &attributes, sizeof attributes))
        fail("mount_setattr");
    reached(READ_ONLY);
    if (chdir(root) || mount("proc", "proc", "proc", NOSUID_ | NODEV_ | NOEXEC_, NULL))
        fail("mount proc");
    reached(PROC);
    if (syscall(SYS_pivot_root, ".", "."))
        fail("pivot_root");
    reached(PIVOT);
    if (umount2(".", DETACH_) || chdir("/"))
        fail("detach old root");
    reached(DETACH);
    if (net) {
        struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
            fail("loopback");
        close(fd);
    }
    reached(LOOPBACK);
}

static void execute(char **words, long number) {
    char *filled[128], text[8][256];
    int count = 0, used = 0;
    for (; words[count] && count < 127; count++) {
        char *at = strstr(words[count], "@N");
        filled[count] = words[count];
        if (at && used < 8) {
            snprintf(text[used], sizeof text[0], "%.*s%ld%s", (int)(at - words[count]), words[count], number, at + 2);
            filled[count] = text[used++];
        }
    }
    filled[count] = NULL;
    execv(filled[0], filled);
    fail(filled[0]);
}

static pid_t launch(char **words, long number) {
    struct clone_args how = {.exit_signal = SIGCHLD};
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (!plain)
        how.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | (net ? CLONE_NEWNET : 0);
    reached(START);
    long pid = syscall(SYS_clone3, &how, sizeof how);
    if (pid < 0)
        fail("clone3");
    if (pid == 0) {
        if (dies_with_us)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        reached(CLONE);
        if (!plain)
            build(uid, gid);
        execute(words, number);
    }
    return pid;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int tell_steps(char **words, int count) {
    double *took[STEPS];
    int status;
    steps = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (steps == MAP_FAILED)
        fail("mmap");
    for (int step = CLONE; step < STEPS; step++)
        took[step] = calloc(count, sizeof(double));
    for (int n = 0; n < count; n++) {
        pid_t pid = launch(words, n);
        if (waitpid(pid, &status, 0) < 0 || status)
            return 1;
        for (int step = CLONE; step < STEPS; step++)
            took[step][n] = (steps[step] - steps[step - 1]) / 1e3;
    }
    for (int step = CLONE; step < STEPS; step++) {
        qsort(took[step], count, sizeof(double), by_size);
        printf("%s\"%s\": %.1f", step == CLONE ? "{" : ", ", names[step], took[step][count / 2]);
    }
    printf("}\n");
    return 0;
}

static int tell_rate(char **words, double seconds, int at_a_time) {
    uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9);
    int alive = 0, status;
    long launched = 0, ended = 0, failed = 0;
    while (alive || now() < end) {
        while (alive < at_a_time && now() < end) {
            launch(words, launched++);
            alive++;
        }
        if (wait(&status) > 0) {
            alive--;
            ended++;
            failed += status != 0;
        }
    }
    printf("{\"launches\": %ld, \"failed\": %ld, \"seconds\": %.6f}\n", ended, failed, (now() - start) / 1e9);
    return 0;
}

static int keep(char **words, int count) {
    pid_t *kept = calloc(count, sizeof *kept);
    dies_with_us = 1;
    for (int n = 0; n < count; n++)
        kept[n] = launch(words, n);
    for (pid_t pid; (pid = wait(NULL)) > 0;)
        for (int n = 0; n < count; n++)
            if (kept[n] == pid) {
                kept[n] = launch(words, n);
                break;
            }
    return 0;
}

int main(int argc, char **argv) {
    int at = 1, step_count = 0, keep_count = 0, at_a_time = 0, status;
    double seconds = 0;
    for (; at < argc && !strncmp(argv[at], "--", 2); at++) {
        if (!strcmp(argv[at], "--net"))
            net = 1;
        else if (!strcmp(argv[at], "--plain"))
            plain = 1;
        else if (!strcmp(argv[at], "--steps") && at + 1 < argc)
            step_count = atoi(argv[++at]);
        else if (!strcmp(argv[at], "--keep") && at + 1 < argc)
            keep_count = atoi(argv[++at]);
        else if (!strcmp(argv[at], "--rate") && at + 2 < argc) {
            seconds = atof(argv[++at]);
            at_a_time = atoi(argv[++at]);
        } else {
            dprintf(2, "floor: what is %s?\n", argv[at]);
            return 2;
        }
    }
    if (argc - at < 2) {
        dprintf(2, "floor: give ROOT and PROGRAM\n");
        return 2;
    }
    root = argv[at++];
    char **words = argv + at;
    if (step_count)
        return tell_steps(words, step_count);
    if (at_a_time)
        return tell_rate(words, seconds, at_a_time);
    if (keep_count)
        return keep(words, keep_count);
    pid_t pid = launch(words, 0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
