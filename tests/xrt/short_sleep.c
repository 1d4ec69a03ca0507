/* Preloaded into programs that use XRT's hw_emu driver, which waits for kernels and for its own threads with sleep():
 * whole seconds at a time, or 0 in a busy loop. Here all of these are short and none is 0. */
#include <time.h>

unsigned sleep(unsigned seconds)
{
    struct timespec pause = {0, seconds >= 10 ? 20000000 : 500000};
    nanosleep(&pause, 0);
    return 0;
}
