/* Proves that the counter is not fooled by chunk borders or reads: the same responses, split at
 * every place and byte by byte, must give the same events and the same timestamps. */
#include "parse.h"

#include <stdio.h>
#include <string.h>

#define HEAD_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Long: " \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\r\n\r\n"
#define HEAD_PLAIN "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n"

struct sample {
    const char *what, *bytes;
    uint64_t events, stamp_sum;
    enum phase phase;
};

static const struct sample SAMPLES[] = {
    {"one chunk per event", HEAD_CHUNKED "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n", 2, 3, CHUNK_SIZE},
    {"chunk borders inside an event", HEAD_CHUNKED "3\r\ndat\r\n5\r\na: 12\r\n1\r\n3\r\n2\r\n\n\n\r\n", 1,
     123, CHUNK_SIZE},
    {"framing is no blank line", HEAD_CHUNKED "8\r\ndata: 7\n\r\n", 0, 0, CHUNK_SIZE},
    {"a blank line of its own chunk", HEAD_CHUNKED "8\r\ndata: 7\n\r\n1\r\n\n\r\n", 1, 7, CHUNK_SIZE},
    {"bytes behind the chunk", HEAD_CHUNKED "8\r\ndata: 7\nxx\r\n", 0, 0, BAD},
    {"chunk extension, capital digits, end", HEAD_CHUNKED "0A;x=y\r\ndata: 55\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", 1,
     55, ENDED},
    {"CRLF lines, id, event, comment", HEAD_PLAIN
     ": hi\r\n\r\nid: 4\r\n\r\nevent: x\r\nid: 9\r\ndata: {\"t\": 41}\r\n\r\nretry: 1\r\n\r\n", 1, 41, UNTIL_CLOSE},
    {"two data lines are one event", HEAD_PLAIN "data: 5\ndata: 6\n\n", 1, 5, UNTIL_CLOSE},
    {"unterminated block", HEAD_PLAIN "data: 5\n", 0, 0, UNTIL_CLOSE},
    {"long line", HEAD_PLAIN "data: 8 0123456789012345678901234567890123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789\n\ndata: 1\n\n", 2, 9, UNTIL_CLOSE},
    {"error status", "HTTP/1.1 503 No\r\n\r\n", 0, 0, BAD},
    {"broken chunk size", HEAD_CHUNKED "zz\r\ndata: 1\n\n", 0, 0, BAD},
};

/* Events whose numbers are taken for a sequence. */
static const struct sequence {
    const char *what, *bytes;
    uint64_t events, missed, gaps;
} SEQUENCES[] = {
    {"numbers in order", HEAD_CHUNKED "f\r\ndata: 7\n\ndata: \r\n9\r\n8\n\ndata: \r\n3\r\n9\n\n\r\n", 3, 0, 0},
    {"numbers left out", HEAD_PLAIN "data: 7\n\nid: 4\ndata: 8\n\ndata: 19\n\n", 3, 10, 0},
    {"a number twice", HEAD_PLAIN "data: 7\n\ndata: 7\n\ndata: 8\n\n", 3, 1, 0},
    {"a gap that is told", HEAD_PLAIN "data: 7\n\nevent: gap\ndata: {\"after\": \"5\"}\n\ndata: 10\n\n", 2, 2, 1},
    {"another name", HEAD_PLAIN "event: gap2\ndata: 7\n\nevent: gas\ndata: 8\n\n", 2, 0, 0},
};

static int wrong(const struct sample *sample, struct parser *parser, struct tally *tally)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < tally->sample_count; ++i)
        sum += tally->now - tally->samples[i];
    if (tally->events == sample->events && sum == sample->stamp_sum && parser->phase == sample->phase)
        return 0;
    printf("wrong: %s: events %ld, stamps %ld, phase %d\n", sample->what, (long)tally->events, (long)sum,
           parser->phase);
    return 1;
}

/* Feeds bytes[0..first), then the rest in pieces of `step`. */
static int run(const struct sample *sample, size_t first, size_t step)
{
    uint64_t room[16];
    struct parser parser = {0};
    struct tally tally = {.now = 1000, .samples = room, .sample_room = 16};
    size_t size = strlen(sample->bytes);
    feed(&parser, &tally, sample->bytes, first);
    for (size_t at = first; at < size; at += step)
        feed(&parser, &tally, sample->bytes + at, size - at < step ? size - at : step);
    return wrong(sample, &parser, &tally);
}

static int run_sequence(const struct sequence *sequence, size_t first, size_t step)
{
    struct parser parser = {0};
    struct tally tally = {.numbered = true};
    size_t size = strlen(sequence->bytes);
    feed(&parser, &tally, sequence->bytes, first);
    for (size_t at = first; at < size; at += step)
        feed(&parser, &tally, sequence->bytes + at, size - at < step ? size - at : step);
    if (tally.events == sequence->events && tally.missed == sequence->missed && tally.gaps == sequence->gaps)
        return 0;
    printf("wrong: %s: events %ld, missed %ld, gaps %ld\n", sequence->what, (long)tally.events,
           (long)tally.missed, (long)tally.gaps);
    return 1;
}

static size_t next_step(size_t step)
{
    return step < 8 ? step + 1 : step * 2;
}

int main(void)
{
    int failures = 0, runs = 0;
    for (size_t i = 0; i < sizeof SAMPLES / sizeof *SAMPLES; ++i) {
        size_t size = strlen(SAMPLES[i].bytes);
        for (size_t first = 0; first <= size; ++first)
            for (size_t step = 1; step <= size; step = next_step(step), ++runs)
                failures += run(&SAMPLES[i], first, step);
    }
    for (size_t i = 0; i < sizeof SEQUENCES / sizeof *SEQUENCES; ++i) {
        size_t size = strlen(SEQUENCES[i].bytes);
        for (size_t first = 0; first <= size; ++first)
            for (size_t step = 1; step <= size; step = next_step(step), ++runs)
                failures += run_sequence(&SEQUENCES[i], first, step);
    }
    printf("%d splits, %d wrong\n", runs, failures);
    return failures != 0;
}
