/* HTTP/1 response bytes in, counted server-sent events out. No I/O. */
#ifndef PARSE_H
#define PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The beginning of a line that a read or a chunk border cut in two. Only the beginning matters:
 * a header's name and value, or "data:" and a timestamp. */
struct line {
    uint32_t len;
    char text[76];
};

struct decoder;

enum phase { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, UNTIL_CLOSE, ENDED, BAD };

struct parser {
    enum phase phase;
    int status;          /* of the response, 0 until its first line is there */
    bool chunked;
    struct decoder *decoder; /* NULL where nothing is compressed */
    bool has_data;       /* the block being read has a data line, so its blank line is an event */
    bool is_gap;         /* ... and it is named "gap": the server says that it left events out */
    uint64_t stamp;      /* the number in that data line */
    uint64_t chunk_left; /* bytes of the chunk still to come */
    uint64_t events;
    uint64_t number;     /* of the last event, when events are numbered */
    struct line outer;   /* unfinished line of the head or of the chunk framing */
    struct line inner;   /* unfinished line of the event stream */
};

/* What all connections add up to; `samples` is NULL when latency is not wanted. */
struct tally {
    uint64_t events;
    uint64_t bytes;
    uint64_t now;        /* CLOCK_MONOTONIC, ns: when the bytes being parsed were received */
    uint64_t *samples;   /* latencies in ns */
    size_t sample_count;
    size_t sample_room;
    uint64_t skewed;     /* timestamps from the future: the clocks differ, the run is worthless */
    bool numbered;       /* the numbers of a connection's events must go on by one */
    uint64_t missed;     /* events left out; one also for a number that comes twice or too late */
    uint64_t gaps;       /* times that a server said so itself */
};

void feed(struct parser *parser, struct tally *tally, const char *data, size_t len);

#endif
