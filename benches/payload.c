/* The payload of the benchmarks, static and tiny, so that what is measured is not its own start.
 *
 *   payload stamp   writes the time of its first instruction to the FIFO /stamp/at, and ends
 *   payload serve   answers each connection on the passed socket with one byte
 *   payload pause   waits for its end
 *
 * It obeys SIGTERM at once: as the first process of its namespace it has to say so.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int stamp(const struct timespec *now)
{
    int fifo = open("/stamp/at", O_WRONLY);
    if (fifo < 0)
        return 1;
    dprintf(fifo, "%lld%09ld\n", (long long) now->tv_sec, now->tv_nsec);
    close(fifo);
    return 0;
}

static int serve(void)
{
    int connection;
    while ((connection = accept(3, NULL, NULL)) >= 0) {
        if (write(connection, "!", 1) != 1)
            return 1;
        close(connection);
    }
    return 1;
}

static void end(int number)
{
    (void) number;
    _exit(0);
}

int main(int count, char **words)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    signal(SIGTERM, end);
    const char *verb = count > 1 ? words[1] : "pause";
    if (strcmp(verb, "serve") == 0)
        return serve();
    if (strcmp(verb, "stamp") == 0)
        return stamp(&now);
    pause();
    return 0;
}
