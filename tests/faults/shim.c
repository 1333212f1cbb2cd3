/* Makes file calls below chosen folders slow, endless or fail, and moves the clock: LD_PRELOAD=shim.so.

   LD_FAULTS_BELOW    folders, absolute, separated by ':' (LD_, so that the try-out of a model keeps it)
   LD_FAULTS_CONTROL  a file outside of them, read at every call, so that faults come and go while a program runs:
                        delay MILLISECONDS OPERATIONS
                        hang 0 OPERATIONS            until the line is gone
                        fail ERRNO OPERATIONS [N]    every call, or only the N-th of this process since the line came
                        kill 0 OPERATIONS [N]        SIGKILL to this process at such a call
                        clock SECONDS                the real-time clock is so much ahead
                      OPERATIONS: open,create,stat,list,read,write,fsync,rename,unlink,mkdir with commas, or all */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long matches; /* calls that the line with an N was about */
static char counted[300];

static int control(char *text, size_t size) {
    const char *name = getenv("LD_FAULTS_CONTROL");
    long file = name ? syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    long length = syscall(SYS_read, file, text, size - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int is_below(const char *path) {
    const char *folders = getenv("LD_FAULTS_BELOW");
    while (folders && *folders) {
        const char *end = strchrnul(folders, ':');
        size_t length = end - folders;
        if (!strncmp(path, folders, length) && (path[length] == '/' || !path[length])) return 1;
        folders = *end ? end + 1 : end;
    }
    return 0;
}

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    syscall(SYS_nanosleep, &time, NULL);
}

static int names(const char *list, const char *operation) {
    char wrapped[512], wanted[64];
    snprintf(wrapped, sizeof wrapped, ",%s,", list);
    snprintf(wanted, sizeof wanted, ",%s,", operation);
    return !strcmp(list, "all") || strstr(wrapped, wanted) != NULL;
}

/* 0, or the errno with which this call shall fail. */
static int fault(const char *path, const char *operation) {
    char text[1024], kind[16], list[256], *line, *rest;
    if (!path || !is_below(path)) return 0;
again:
    if (!control(text, sizeof text)) return 0;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        long number, only = 0;
        if (sscanf(line, "%15s %ld %255s %ld", kind, &number, list, &only) < 3 || !names(list, operation)) continue;
        if (!strcmp(kind, "hang")) {
            pause_ms(20);
            goto again;
        }
        if (!strcmp(kind, "delay")) pause_ms(number);
        if (only && strncmp(counted, line, sizeof counted - 1)) {
            strncpy(counted, line, sizeof counted - 1);
            matches = 0;
        }
        if (only && __sync_add_and_fetch(&matches, 1) != only) continue;
        if (!strcmp(kind, "kill")) syscall(SYS_kill, getpid(), SIGKILL);
        if (!strcmp(kind, "fail")) return (int)number;
    }
    return 0;
}

static const char *absolute(int folder, const char *path, char *space) {
    char link[64];
    if (!path || path[0] == '/') return path;
    long length;
    if (folder == AT_FDCWD) {
        length = syscall(SYS_getcwd, space, PATH_MAX) - 1;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = syscall(SYS_readlinkat, AT_FDCWD, link, space, PATH_MAX);
    }
    if (length < 0 || length > PATH_MAX) return NULL;
    snprintf(space + length, PATH_MAX - length, "/%s", path);
    return space;
}

static int fault_at(int folder, const char *path, const char *operation) {
    char space[PATH_MAX * 2];
    return fault(absolute(folder, path, space), operation);
}

static int fault_of(int file, const char *operation) {
    char link[64], path[PATH_MAX];
    if (!getenv("LD_FAULTS_BELOW")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault(path, operation);
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

#define FAILS(check, answer)         \
    do {                             \
        int found = check;           \
        if (found) {                 \
            errno = found;           \
            return answer;           \
        }                            \
    } while (0)

#define OPENS(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR) ? "create" : "open")
#define MODE(flags, last) \
    mode_t mode;          \
    va_list more;         \
    va_start(more, last); \
    mode = va_arg(more, mode_t); \
    va_end(more)

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        MODE(flags, flags);                                               \
        FAILS(fault_at(AT_FDCWD, path, OPENS(flags)), -1);                \
        return REAL(name)(path, flags, mode);                             \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                                      \
    int name(int folder, const char *path, int flags, ...) {              \
        MODE(flags, flags);                                               \
        FAILS(fault_at(folder, path, OPENS(flags)), -1);                  \
        return REAL(name)(folder, path, flags, mode);                     \
    }
OPENAT(openat)
OPENAT(openat64)

#define STAT(name, kind)                                                  \
    int name(const char *path, struct kind *found) {                      \
        FAILS(fault_at(AT_FDCWD, path, "stat"), -1);                      \
        return REAL(name)(path, found);                                   \
    }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
#define STATAT(name, kind)                                                \
    int name(int folder, const char *path, struct kind *found, int flags) { \
        FAILS(fault_at(folder, path, "stat"), -1);                        \
        return REAL(name)(folder, path, found, flags);                    \
    }
STATAT(fstatat, stat)
STATAT(fstatat64, stat64)
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *found) {
    FAILS(fault_at(folder, path, "stat"), -1);
    return REAL(statx)(folder, path, flags, mask, found);
}

DIR *opendir(const char *path) {
    FAILS(fault_at(AT_FDCWD, path, "list"), NULL);
    return REAL(opendir)(path);
}
DIR *fdopendir(int file) {
    FAILS(fault_of(file, "list"), NULL);
    return REAL(fdopendir)(file);
}
struct dirent *readdir(DIR *folder) {
    FAILS(fault_of(dirfd(folder), "list"), NULL);
    return REAL(readdir)(folder);
}
struct dirent64 *readdir64(DIR *folder) {
    FAILS(fault_of(dirfd(folder), "list"), NULL);
    return REAL(readdir64)(folder);
}

#define ON_FILE(type, name, operation, parameters, arguments)             \
    type name parameters {                                                \
        FAILS(fault_of(file, operation), -1);                             \
        return REAL(name) arguments;                                      \
    }
ON_FILE(ssize_t, read, "read", (int file, void *to, size_t size), (file, to, size))
ON_FILE(ssize_t, pread, "read", (int file, void *to, size_t size, off_t at), (file, to, size, at))
ON_FILE(ssize_t, pread64, "read", (int file, void *to, size_t size, off64_t at), (file, to, size, at))
ON_FILE(ssize_t, write, "write", (int file, const void *from, size_t size), (file, from, size))
ON_FILE(ssize_t, pwrite, "write", (int file, const void *from, size_t size, off_t at), (file, from, size, at))
ON_FILE(ssize_t, pwrite64, "write", (int file, const void *from, size_t size, off64_t at), (file, from, size, at))
ON_FILE(int, ftruncate, "write", (int file, off_t size), (file, size))
ON_FILE(int, ftruncate64, "write", (int file, off64_t size), (file, size))
ON_FILE(int, fsync, "fsync", (int file), (file))
ON_FILE(int, fdatasync, "fsync", (int file), (file))

int rename(const char *from, const char *to) {
    FAILS(fault_at(AT_FDCWD, to, "rename"), -1);
    return REAL(rename)(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    FAILS(fault_at(to_folder, to, "rename"), -1);
    return REAL(renameat)(from_folder, from, to_folder, to);
}
int unlink(const char *path) {
    FAILS(fault_at(AT_FDCWD, path, "unlink"), -1);
    return REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    FAILS(fault_at(folder, path, "unlink"), -1);
    return REAL(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) {
    FAILS(fault_at(AT_FDCWD, path, "mkdir"), -1);
    return REAL(mkdir)(path, mode);
}

static long ahead(void) {
    char text[1024], *line, *rest;
    long seconds;
    if (!control(text, sizeof text)) return 0;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, "clock %ld", &seconds) == 1) return seconds;
    return 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int answer = REAL(clock_gettime)(clock, now);
    if (!answer && clock == CLOCK_REALTIME) now->tv_sec += ahead();
    return answer;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int answer = REAL(gettimeofday)(now, zone);
    if (!answer) now->tv_sec += ahead();
    return answer;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
