#include "parse.h"

#include "decode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void keep(struct line *line, const char *data, size_t len)
{
    size_t room = sizeof line->text - line->len;
    size_t taken = len < room ? len : room;
    memcpy(line->text + line->len, data, taken);
    line->len += (uint32_t)taken;
}

/* One whole line from *pos on, without its LF or CRLF; false when its end has not come yet.
 * `spare` receives a cut line's text, which must outlive the reset of the line's buffer. */
static bool take_line(struct line *line, const char **pos, const char *end, const char **text,
                      size_t *len, char *spare)
{
    const char *newline = memchr(*pos, '\n', (size_t)(end - *pos));
    if (newline == NULL) {
        keep(line, *pos, (size_t)(end - *pos));
        *pos = end;
        return false;
    }
    *text = *pos;
    *len = (size_t)(newline - *pos);
    if (line->len > 0) {
        keep(line, *pos, *len);
        memcpy(spare, line->text, line->len);
        *text = spare;
        *len = line->len;
        line->len = 0;
    }
    *pos = newline + 1;
    if (*len > 0 && (*text)[*len - 1] == '\r')
        --*len;
    return true;
}

/* The first number in a data line: `data: 123` and `data: {"t": 123}` alike. */
static uint64_t number_in(const char *text, size_t len)
{
    const char *end = text + len;
    uint64_t number = 0;
    while (text < end && (*text < '0' || *text > '9'))
        ++text;
    for (; text < end && *text >= '0' && *text <= '9'; ++text)
        number = number * 10 + (uint64_t)(*text - '0');
    return number;
}

static void record_latency(struct tally *tally, uint64_t stamp)
{
    if (stamp > tally->now)
        ++tally->skewed;
    else if (tally->sample_count < tally->sample_room)
        tally->samples[tally->sample_count++] = tally->now - stamp;
}

/* The first number is any: a connection starts somewhere in the sequence. */
static void check_number(struct parser *parser, struct tally *tally)
{
    uint64_t expected = parser->number + 1;
    if (parser->number > 0 && parser->stamp != expected)
        tally->missed += parser->stamp > expected ? parser->stamp - expected : 1;
    parser->number = parser->stamp;
}

/* "If the line is empty (a blank line): Dispatch the event" - and a block without data is none. */
static void dispatch(struct parser *parser, struct tally *tally)
{
    if (parser->has_data && parser->is_gap) {
        ++tally->gaps;
    } else if (parser->has_data) {
        ++parser->events;
        ++tally->events;
        if (tally->numbered)
            check_number(parser, tally);
        else if (parser->stamp)
            record_latency(tally, parser->stamp);
    }
    parser->has_data = parser->is_gap = false;
    parser->stamp = 0;
}

static void event_lines(struct parser *parser, struct tally *tally, const char *pos, size_t size)
{
    const char *end = pos + size, *text;
    char spare[sizeof parser->inner.text];
    size_t len;
    while (pos < end && take_line(&parser->inner, &pos, end, &text, &len, spare)) {
        if (len == 0)
            dispatch(parser, tally);
        else if (!parser->has_data && len >= 5 && memcmp(text, "data:", 5) == 0) {
            parser->has_data = true;
            if (tally->samples || tally->numbered)
                parser->stamp = number_in(text + 5, len - 5);
        } else if (len == 10 && memcmp(text, "event: gap", 10) == 0)
            parser->is_gap = true;
    }
}

static bool starts_with(const char *text, size_t len, const char *word)
{
    size_t size = strlen(word);
    return len >= size && strncasecmp(text, word, size) == 0;
}

static enum phase head_line(struct parser *parser, const char *text, size_t len)
{
    if (parser->status == 0) {
        bool http = starts_with(text, len, "HTTP/1.") && len >= 12;
        parser->status = http ? atoi(text + 9) : -1;
        return parser->status == 200 ? HEAD : BAD;
    }
    if (len == 0)
        return parser->chunked ? CHUNK_SIZE : UNTIL_CLOSE;
    if (starts_with(text, len, "transfer-encoding: chunked"))
        parser->chunked = true;
    else if (starts_with(text, len, "content-encoding: "))
        parser->decoder = open_decoder(text + 18, len - 18);
    return HEAD;
}

static enum phase chunk_size(struct parser *parser, const char *text, size_t len)
{
    size_t digits = 0;
    uint64_t size = 0;
    for (; digits < len && digits < 15; ++digits) {
        char c = text[digits] | 0x20; /* lower case; digits stay themselves */
        if (c >= '0' && c <= '9')
            size = size * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            size = size * 16 + (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    if (digits == 0 || (digits < len && text[digits] != ';' && text[digits] != ' '))
        return BAD;
    parser->chunk_left = size;
    return size ? CHUNK : ENDED;
}

static enum phase framing_line(struct parser *parser, const char *text, size_t len)
{
    if (parser->phase == HEAD)
        return head_line(parser, text, len);
    if (parser->phase == CHUNK_SIZE)
        return chunk_size(parser, text, len);
    return len == 0 ? CHUNK_SIZE : BAD; /* CHUNK_END: the CRLF behind the chunk's bytes */
}

struct body {
    struct parser *parser;
    struct tally *tally;
};

static void take_events(void *context, const char *data, size_t size)
{
    struct body *body = context;
    event_lines(body->parser, body->tally, data, size);
}

static size_t body_bytes(struct parser *parser, struct tally *tally, const char *pos, size_t size)
{
    if (parser->phase == CHUNK) {
        size = size < parser->chunk_left ? size : parser->chunk_left;
        parser->chunk_left -= size;
        if (parser->chunk_left == 0)
            parser->phase = CHUNK_END;
    }
    if (!parser->decoder)
        event_lines(parser, tally, pos, size);
    else if (!decode(parser->decoder, pos, size, take_events, &(struct body){parser, tally}))
        parser->phase = BAD;
    return size;
}

void feed(struct parser *parser, struct tally *tally, const char *data, size_t size)
{
    const char *pos = data, *end = data + size, *text;
    char spare[sizeof parser->outer.text];
    size_t len;
    while (pos < end && parser->phase != ENDED && parser->phase != BAD) {
        if (parser->phase == CHUNK || parser->phase == UNTIL_CLOSE)
            pos += body_bytes(parser, tally, pos, (size_t)(end - pos));
        else if (take_line(&parser->outer, &pos, end, &text, &len, spare))
            parser->phase = framing_line(parser, text, len);
    }
}
