/* Preloaded into an agent: fsync and fdatasync of a file named *-wal fail with EIO while the file $FSYNC_FAILS exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_refused(int descriptor)
{
    const char *flag = getenv("FSYNC_FAILS");
    char entry[64], name[4096];
    if (flag == NULL || access(flag, F_OK) != 0)
        return 0;
    snprintf(entry, sizeof entry, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(entry, name, sizeof name);
    if (length < 4 || memcmp(name + length - 4, "-wal", 4) != 0)
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int descriptor)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return is_refused(descriptor) ? -1 : real(descriptor);
}

int fdatasync(int descriptor)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return is_refused(descriptor) ? -1 : real(descriptor);
}
