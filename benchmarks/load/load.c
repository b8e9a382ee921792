/* The load generator: opens N event streams, counts events for a while, prints JSON.
 *
 * Protocol with whoever starts it: the lines "connected", "start" and "end" as they happen (so that
 * the server's CPU and memory can be read at the window's two ends), then, once stdin is closed,
 * one line of JSON. Streams are read on until then, so nothing the server does after "end" is new. */
#define _GNU_SOURCE
#include "connection.h"
#include "http2.h"
#include "parse.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, RECEIVED_SIZE = 16 * READ_SIZE, PIECES_MAX = 4096 };
enum { READY_MAX = 512, SAMPLES_MAX = 4 * 1024 * 1024, GIVE_UP_SECONDS = 60 };

/* A stream. Over HTTP/1.1 each has a connection of its own, over HTTP/2 many share one. */
struct client {
    bool requested; /* the request is on its way */
    bool answered;  /* the response head is here: no longer counted as pending */
    struct parser parser;
};

static struct {
    const char *path, *accepted; /* content codings */
    int port, connections, max_pending;
    double warmup, seconds, connect_rate;
    bool latency, numbered, first_event, tls;
    int streams; /* of each HTTP/2 connection; 0: HTTP/1.1 */
} options = {.path = "/", .accepted = "identity", .connections = 1, .max_pending = 100, .warmup = 1, .seconds = 5};

static struct client *clients;
static struct connection *connections;
static char host[32];
static struct tally tally;
static int epoll_fd, opened, pending, answered, lost;
static char why_lost[120]; /* of the first that was */
static uint64_t reads;

/* What one read brought, and when. Where latency is measured it is parsed and decoded when there is
 * nothing left to read: else what one client was sent would wait for another's decoding. */
struct piece {
    struct connection *connection;
    size_t size;
    uint64_t now;
};

static struct {
    char bytes[RECEIVED_SIZE];
    size_t size;
    struct piece pieces[PIECES_MAX];
    int count;
} received;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s (%d of %d connections answered)\n", what, answered, options.connections);
    exit(1);
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

static int per_connection(void)
{
    return options.streams ? options.streams : 1;
}

static int first_client(const struct connection *connection)
{
    return (int)(connection - connections) * per_connection();
}

/* Behind its last client. */
static int end_client(const struct connection *connection)
{
    int end = first_client(connection) + per_connection();
    return end < options.connections ? end : options.connections;
}

static void watch(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) < 0)
        fail("epoll_ctl");
}

static void send_request(struct connection *connection, struct client *client)
{
    char request[512];
    bool sent;
    if (options.streams) {
        sent = request_stream(connection, &client->parser, options.path, host, options.accepted);
    } else {
        int size = snprintf(request, sizeof request,
                            "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n"
                            "Cache-Control: no-cache\r\nAccept-Encoding: %s\r\n\r\n",
                            options.path, host, options.accepted);
        sent = write_all(connection, request, (size_t)size);
    }
    if (!sent)
        fail("the server refused a request");
    client->requested = true;
}

/* Whose turn came before the connection was ready ask now. */
static void send_requests(struct connection *connection)
{
    for (int i = first_client(connection); i < end_client(connection) && i < opened; ++i)
        if (!clients[i].requested)
            send_request(connection, &clients[i]);
}

static void open_client(int number)
{
    struct connection *connection = &connections[number / per_connection()];
    ++opened;
    ++pending;
    if (connection->stage == READY) {
        send_request(connection, &clients[number]);
    } else if (connection->stage == CLOSED) {
        if (!connect_to(connection, options.port))
            fail("connect (more descriptors needed? ulimit -n)");
        watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
    }
}

/* At most `max_pending` unanswered connections at once: the default backlog of many servers is 100,
 * and a SYN that finds it full is sent again only a second later. With a connect rate, the gaps are
 * random (0 to twice their mean): clients that tick must not tick in step. Gives the time of the
 * next opening. */
static uint64_t open_some(uint64_t next)
{
    while (opened < options.connections && pending < options.max_pending && next <= clock_ns()) {
        open_client(opened);
        if (options.connect_rate > 0)
            next += (uint64_t)(2e9 / options.connect_rate * drand48());
    }
    return next;
}

static void get_ready(struct connection *connection)
{
    bool wants_write;
    if (!advance(connection, options.tls, &wants_write))
        fail("the server refused a connection");
    watch(connection, EPOLL_CTL_MOD, wants_write ? EPOLLOUT : EPOLLIN);
    if (connection->stage != READY)
        return;
    if (options.streams && !begin_http2(connection, &tally))
        fail("the server does not speak HTTP/2");
    send_requests(connection);
}

/* Why the first was lost: of a connection's streams the one that is over, if any is. */
static void note_loss(const struct connection *connection)
{
    int number = first_client(connection);
    for (int i = number; i < end_client(connection); ++i)
        if (clients[i].parser.phase >= ENDED) {
            number = i;
            break;
        }
    const struct parser *parser = &clients[number].parser;
    if (*why_lost)
        return;
    if (parser->phase == BAD && parser->status != 200)
        snprintf(why_lost, sizeof why_lost, "the server answered with status %d", parser->status);
    else if (parser->phase == BAD)
        snprintf(why_lost, sizeof why_lost, "the server sent broken framing, or what is not in its content coding");
    else if (parser->phase == ENDED)
        snprintf(why_lost, sizeof why_lost, "the server ended a response");
    else
        snprintf(why_lost, sizeof why_lost, "the server closed a connection %s: %s",
                 parser->phase == HEAD ? "without an answer" : "amid a response",
                 connection->error ? strerror(connection->error) : "no error");
}

static void lose(struct connection *connection)
{
    note_loss(connection);
    for (int i = first_client(connection); i < end_client(connection); ++i) {
        if (!clients[i].answered)
            fail(why_lost);
        ++lost;
    }
    close_connection(connection);
}

static void note_answer(struct client *client)
{
    if (client->answered || client->parser.phase == HEAD || (options.first_event && !client->parser.events))
        return;
    client->answered = client->parser.phase != BAD;
    --pending;
    ++answered;
}

/* False when one of its streams has ended, which none should. */
static bool look_at(const struct connection *connection)
{
    bool streaming = true;
    for (int i = first_client(connection); i < end_client(connection); ++i) {
        note_answer(&clients[i]);
        streaming &= clients[i].parser.phase < ENDED;
    }
    return streaming;
}

static bool take(struct connection *connection, const char *data, size_t size)
{
    if (options.streams)
        return feed_http2(connection, data, size);
    feed(&clients[first_client(connection)].parser, &tally, data, size);
    return true;
}

static void parse_received(void)
{
    const char *data = received.bytes;
    for (const struct piece *piece = received.pieces; piece < received.pieces + received.count; ++piece) {
        struct connection *connection = piece->connection;
        if (connection->stage == READY) {
            tally.now = piece->now;
            bool taken = take(connection, data, piece->size);
            /* Over HTTP/2 only while it matters: looking at a hundred streams costs more than an event. */
            bool all_begun = options.streams && answered == options.connections;
            if (!taken || !(all_begun || look_at(connection)))
                lose(connection);
        }
        data += piece->size;
    }
    received.size = 0;
    received.count = 0;
}

static void read_connection(struct connection *connection)
{
    bool more = true;
    ssize_t got = 0;
    while (more && connection->stage == READY) {
        got = read_some(connection, received.bytes + received.size, READ_SIZE, &more);
        if (got <= 0)
            break;
        ++reads;
        tally.bytes += (uint64_t)got;
        received.pieces[received.count++] =
            (struct piece){connection, (size_t)got, options.latency ? clock_ns() : 0};
        received.size += (size_t)got;
        if (!options.latency || received.count == PIECES_MAX || received.size > RECEIVED_SIZE - READ_SIZE)
            parse_received();
    }
    if (got == 0)
        parse_received();
    if (got == 0 && connection->stage == READY)
        lose(connection);
}

/* Serves the sockets until `deadline` (ns), or until stdin ends when that is what is awaited. */
static bool turn(uint64_t deadline)
{
    struct epoll_event ready[READY_MAX];
    uint64_t now = clock_ns();
    int wait_ms = now >= deadline || received.count > 0 ? 0 : (int)((deadline - now) / 1000000 + 1);
    int count = epoll_wait(epoll_fd, ready, READY_MAX, wait_ms);
    bool stdin_ended = false;
    if (count == 0)
        parse_received();
    for (int i = 0; i < count; ++i) {
        struct connection *connection = ready[i].data.ptr;
        if (connection == NULL)
            stdin_ended = true;
        else if (connection->stage == READY)
            read_connection(connection);
        else if (connection->stage != CLOSED) /* by what another brought to be parsed */
            get_ready(connection);
    }
    return !stdin_ended && clock_ns() < deadline;
}

static void serve_until(uint64_t deadline)
{
    while (turn(deadline))
        ;
    parse_received();
}

static void connect_all(void)
{
    uint64_t next = clock_ns(), give_up = next + GIVE_UP_SECONDS * 1000000000ull;
    while (answered < options.connections) {
        next = open_some(next);
        turn(next > clock_ns() ? next : give_up);
        if (clock_ns() > give_up)
            fail("overloaded: a minute did not do to answer every connection");
    }
}

/* A regular file or /dev/null can't be watched; then there is nobody to wait for. */
static void hold_until_stdin_ends(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) == 0)
        serve_until(clock_ns() + GIVE_UP_SECONDS * 1000000000ull);
}

/* What was missed, or told as a gap, counts from the first event of a connection on. */
static void start_window(void)
{
    tally.events = tally.bytes = tally.skewed = reads = 0;
    tally.sample_count = 0;
    for (int i = 0; i < options.connections; ++i)
        clients[i].parser.events = 0;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Over HTTP/2 a stream that ended in the window is found only now. */
static int count_lost(void)
{
    int ended = 0;
    for (int i = 0; i < options.connections; ++i)
        if (clients[i].parser.phase >= ENDED) {
            note_loss(&connections[i / per_connection()]);
            ++ended;
        }
    return ended > lost ? ended : lost;
}

static double percentile_ms(double fraction)
{
    if (tally.sample_count == 0)
        return -1;
    return 1e-6 * (double)tally.samples[(size_t)(fraction * (double)(tally.sample_count - 1))];
}

static void print_latency(size_t samples)
{
    tally.sample_count = samples;
    qsort(tally.samples, samples, sizeof *tally.samples, by_size);
    printf(", \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"samples\": %zu",
           percentile_ms(0.5), percentile_ms(0.9), percentile_ms(0.99), percentile_ms(1), samples);
}

static void parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", 1, 0, 'p'}, {"path", 1, 0, 'u'}, {"connections", 1, 0, 'c'}, {"warmup", 1, 0, 'w'},
        {"seconds", 1, 0, 's'}, {"max-pending", 1, 0, 'm'}, {"connect-rate", 1, 0, 'r'}, {"latency", 0, 0, 'l'},
        {"numbered", 0, 0, 'n'}, {"first-event", 0, 0, 'f'}, {"tls", 0, 0, 't'}, {"http2", 1, 0, '2'},
        {"accept-encoding", 1, 0, 'a'}, {0}};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;)
        switch (name) {
        case 'p': options.port = atoi(optarg); break;
        case 'u': options.path = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 'w': options.warmup = atof(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'm': options.max_pending = atoi(optarg); break;
        case 'r': options.connect_rate = atof(optarg); break;
        case 'l': options.latency = true; break;
        case 'n': options.numbered = tally.numbered = true; break;
        case 'f': options.first_event = true; break;
        case 't': options.tls = true; break;
        case 'a': options.accepted = optarg; break;
        case '2': options.streams = atoi(optarg); break;
        default: fail("usage: load --port N [--path /] [--connections N] [--warmup S] [--seconds S] "
                      "[--max-pending N] [--connect-rate PER_SECOND] [--latency | --numbered] "
                      "[--first-event] [--tls] [--http2 STREAMS_PER_CONNECTION] "
                      "[--accept-encoding NAME]");
        }
}

static void prepare(void)
{
    /* Whatever goes wrong, this process ends. */
    alarm((unsigned)(2 * GIVE_UP_SECONDS + options.warmup + options.seconds));
    epoll_fd = epoll_create1(0);
    clients = calloc((size_t)options.connections, sizeof *clients);
    connections = calloc((size_t)options.connections, sizeof *connections);
    snprintf(host, sizeof host, "127.0.0.1:%d", options.port);
    if (options.tls && !prepare_tls(options.streams > 0))
        fail("no TLS");
    if (options.latency) {
        tally.sample_room = SAMPLES_MAX;
        tally.samples = calloc(SAMPLES_MAX, sizeof *tally.samples);
    }
}

struct window {
    struct tally tally;
    double seconds, cpu;
    uint64_t reads, least, most; /* least, most: events of one connection */
    int lost;
};

static void note_spread(struct window *window)
{
    window->least = UINT64_MAX;
    for (int i = 0; i < options.connections; ++i) {
        uint64_t events = clients[i].parser.events;
        window->least = events < window->least ? events : window->least;
        window->most = events > window->most ? events : window->most;
    }
}

static struct window measure(void)
{
    struct window window = {0};
    start_window();
    double cpu = cpu_seconds();
    uint64_t from = clock_ns();
    say("start");
    serve_until(from + (uint64_t)(options.seconds * 1e9));
    window.tally = tally;
    window.seconds = 1e-9 * (double)(clock_ns() - from);
    window.cpu = cpu_seconds() - cpu;
    window.reads = reads;
    window.lost = count_lost();
    note_spread(&window);
    say("end");
    return window;
}

static void print_window(const struct window *window)
{
    printf("{\"seconds\": %.6f, \"events\": %lu, \"bytes\": %lu, \"reads\": %lu, \"load_cpu\": %.6f, "
           "\"lost\": %d, \"why\": \"%s\", \"skewed\": %lu, \"least\": %lu, \"most\": %lu",
           window->seconds, (unsigned long)window->tally.events, (unsigned long)window->tally.bytes,
           (unsigned long)window->reads, window->cpu, window->lost, why_lost, (unsigned long)window->tally.skewed,
           (unsigned long)window->least, (unsigned long)window->most);
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    prepare();
    uint64_t begin = clock_ns();
    connect_all();
    double connecting = 1e-9 * (double)(clock_ns() - begin);
    say("connected");
    serve_until(clock_ns() + (uint64_t)(options.warmup * 1e9));
    struct window window = measure();
    hold_until_stdin_ends();

    print_window(&window);
    if (options.latency)
        print_latency(window.tally.sample_count);
    if (options.numbered)
        printf(", \"missed\": %lu, \"gaps\": %lu", (unsigned long)window.tally.missed, (unsigned long)window.tally.gaps);
    printf(", \"connect_seconds\": %.4f}\n", connecting);
    return 0;
}
