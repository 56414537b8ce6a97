/* fsync and fdatasync that take SLOWSYNC_US microseconds longer. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_longer(void)
{
    const char *given = getenv("SLOWSYNC_US");
    long us = given ? atol(given) : 0;
    struct timespec pause = {us / 1000000, (us % 1000000) * 1000};
    nanosleep(&pause, NULL);
}

static int call(const char *name, int descriptor)
{
    int (*original)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    wait_longer();
    return original(descriptor);
}

int fsync(int descriptor) { return call("fsync", descriptor); }

int fdatasync(int descriptor) { return call("fdatasync", descriptor); }
