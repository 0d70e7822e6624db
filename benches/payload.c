/* The payload of the benchmarks, static and tiny, so that what is measured is not its own start.
 *
 *   payload stamp   writes the time of its first instruction to the FIFO /stamp/at, and ends
 *   payload serve   answers each connection on the passed socket with one byte
 *   payload bind PORT   the same on a socket that it binds itself
 *   payload pause   waits for its end
 *
 * It obeys SIGTERM at once: as the first process of its namespace it has to say so.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

static int serve(int listener)
{
    int connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        if (write(connection, "!", 1) != 1)
            return 1;
        close(connection);
    }
    return 1;
}

static int bind_and_serve(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, 16) < 0)
        return 1;
    return serve(listener);
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
        return serve(3);
    if (strcmp(verb, "bind") == 0 && count > 2)
        return bind_and_serve(atoi(words[2]));
    if (strcmp(verb, "stamp") == 0)
        return stamp(&now);
    pause();
    return 0;
}
