/* The floor: epoll and writes, nothing else. No server can do the same work with less.
 *
 * Every event is an HTTP chunk of its own, as most servers frame them; /flood writes many of them
 * at once, so its rate also shows what the load generator can take at most. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16384, READY_MAX = 512, FLOOD_SIZE = 256 * 1024 };

static uint64_t interval = 50 * 1000 * 1000; /* ns between two events of a client, or of the publisher */
static const char EVENT[] = "data: a short string\n\n";
static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                           "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";

struct client {
    int fd; /* -1: gone, and freed when its last reference is dropped */
    uint64_t due;
    size_t offset;
    enum { REQUEST, IDLE, FLOOD, TICKS, FANOUT } work;
};

static int epoll_fd, listener;
static struct client *ticking[CLIENTS_MAX];     /* a ring, the next due first */
static struct client *subscribers[CLIENTS_MAX];
static size_t first_ticking, ticking_count, subscriber_count;
static uint64_t next_publish;
static char flood[FLOOD_SIZE + 64];
static size_t flood_size;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fill_flood(void)
{
    while (flood_size < FLOOD_SIZE)
        flood_size += (size_t)sprintf(flood + flood_size, "%zx\r\n%s\r\n", sizeof EVENT - 1, EVENT);
}

static size_t stamped_chunk(char *chunk)
{
    char event[64];
    int size = sprintf(event, "data: %lu\n\n", (unsigned long)clock_ns());
    return (size_t)sprintf(chunk, "%x\r\n%s\r\n", (unsigned)size, event);
}

static void drop(struct client *client)
{
    close(client->fd);
    client->fd = -1;
    if (client->work != TICKS && client->work != FANOUT)
        free(client);
}

/* A floor keeps no queue: a client whose socket is full is dropped, and the run shows it as lost. */
static bool write_chunk(struct client *client, const char *chunk, size_t size)
{
    if (client->fd >= 0 && send(client->fd, chunk, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size)
        return true;
    if (client->fd >= 0)
        drop(client);
    free(client);
    return false;
}

static void push_ticking(struct client *client)
{
    ticking[(first_ticking + ticking_count++) % CLIENTS_MAX] = client;
}

static void tick(uint64_t now)
{
    char chunk[96];
    while (ticking_count > 0 && ticking[first_ticking]->due <= now) {
        struct client *client = ticking[first_ticking];
        first_ticking = (first_ticking + 1) % CLIENTS_MAX;
        --ticking_count;
        client->due += interval;
        if (write_chunk(client, chunk, stamped_chunk(chunk)))
            push_ticking(client);
    }
}

static void publish(uint64_t now)
{
    char chunk[96];
    size_t size, kept = 0;
    if (now < next_publish)
        return;
    next_publish += interval;
    size = stamped_chunk(chunk);
    for (size_t i = 0; i < subscriber_count; ++i)
        if (write_chunk(subscribers[i], chunk, size))
            subscribers[kept++] = subscribers[i];
    subscriber_count = kept;
}

static void pour(struct client *client)
{
    ssize_t sent = send(client->fd, flood + client->offset, flood_size - client->offset,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        client->offset = (client->offset + (size_t)sent) % flood_size;
    else if (errno != EAGAIN)
        drop(client);
}

static void assign(struct client *client, const char *path)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = client};
    client->work = IDLE;
    if (strncmp(path, "/flood ", 7) == 0) {
        client->work = FLOOD;
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
    } else if (strncmp(path, "/ticks ", 7) == 0 && ticking_count < CLIENTS_MAX) {
        client->work = TICKS;
        client->due = clock_ns() + interval; /* the same wait for all: the ring stays in order */
        push_ticking(client);
    } else if ((strncmp(path, "/fanout ", 8) == 0 || strncmp(path, "/topic ", 7) == 0) && subscriber_count < CLIENTS_MAX) {
        client->work = FANOUT;
        subscribers[subscriber_count++] = client;
    }
}

static void read_client(struct client *client)
{
    char request[4096] = "";
    ssize_t got = recv(client->fd, request, sizeof request - 1, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || (client->work == REQUEST && strncmp(request, "GET ", 4) != 0)) {
        drop(client);
        return;
    }
    request[got] = '\0';
    if (client->work == REQUEST && send(client->fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL) > 0)
        assign(client, request + 4);
}

static void accept_client(void)
{
    struct client *client = calloc(1, sizeof *client);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    client->fd = accept(listener, NULL, NULL);
    if (client->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
        exit(1);
}

static int milliseconds_to_wait(void)
{
    uint64_t now = clock_ns(), due = next_publish;
    if (ticking_count > 0 && ticking[first_ticking]->due < due)
        due = ticking[first_ticking]->due;
    return due <= now ? 0 : (int)((due - now + 999999) / 1000000);
}

static void start_listening(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    epoll_fd = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("floor");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event ready[READY_MAX];
    if (getenv("INTERVAL") != NULL)
        interval = (uint64_t)(atof(getenv("INTERVAL")) * 1e9);
    start_listening(argc > 1 ? atoi(argv[1]) : 0);
    fill_flood();
    next_publish = clock_ns();
    for (;;) {
        int count = epoll_wait(epoll_fd, ready, READY_MAX, milliseconds_to_wait());
        for (int i = 0; i < count; ++i) {
            struct client *client = ready[i].data.ptr;
            if (client == NULL)
                accept_client();
            else if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_client(client);
            else
                pour(client);
        }
        uint64_t now = clock_ns();
        tick(now);
        publish(now);
    }
}
