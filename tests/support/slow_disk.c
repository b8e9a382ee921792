/* A disk that hangs while a file is there: the one that $DISK_HANGS names. Preloaded, it holds up
   whoever reads, writes or synchronises a file that has ".db" in its name. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_for_disk(int fd) {
    const char *flag = getenv("DISK_HANGS");
    char link[64], name[4096];
    if (flag == NULL || access(flag, F_OK) != 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0)
        return;
    name[length] = 0;
    if (strstr(name, ".db") == NULL)
        return;
    while (access(flag, F_OK) == 0)
        usleep(2000);
}

#define HELD_UP(result, name, parameters, arguments)                          \
    result name parameters {                                                  \
        static result (*next) parameters;                                     \
        if (next == NULL)                                                     \
            next = (result(*) parameters)dlsym(RTLD_NEXT, #name);             \
        wait_for_disk(fd);                                                    \
        return next arguments;                                                \
    }

HELD_UP(int, fsync, (int fd), (fd))
HELD_UP(int, fdatasync, (int fd), (fd))
HELD_UP(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
HELD_UP(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
HELD_UP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
HELD_UP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
