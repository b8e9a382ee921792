#include "http2.h"

#include "decode.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 0x7fffffff };

#define FIELD(name, value) \
    {(uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE}

static struct parser *parser_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags, void *tally)
{
    struct parser *parser = parser_of(session, frame->hd.stream_id);
    (void)flags, (void)tally;
    if (parser && name_size == 7 && memcmp(name, ":status", 7) == 0)
        parser->status = atoi((const char *)value);
    else if (parser && name_size == 16 && memcmp(name, "content-encoding", 16) == 0)
        parser->decoder = open_decoder((const char *)value, value_size);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *tally)
{
    struct parser *parser = parser_of(session, frame->hd.stream_id);
    (void)tally;
    if (parser && frame->hd.type == NGHTTP2_HEADERS && parser->phase == HEAD)
        parser->phase = parser->status == 200 ? UNTIL_CLOSE : BAD;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size,
                   void *tally)
{
    struct parser *parser = parser_of(session, stream_id);
    (void)flags;
    if (parser)
        feed(parser, tally, (const char *)data, size);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *tally)
{
    struct parser *parser = parser_of(session, stream_id);
    (void)error_code, (void)tally;
    if (parser)
        parser->phase = parser->phase == HEAD ? BAD : ENDED;
    return 0;
}

static bool flush(struct connection *connection)
{
    const uint8_t *data;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(connection->session, &data)) > 0)
        if (!write_all(connection, data, (size_t)size))
            return false;
    return size == 0;
}

bool begin_http2(struct connection *connection, struct tally *tally)
{
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int failed = nghttp2_session_client_new(&connection->session, callbacks, tally);
    nghttp2_session_callbacks_del(callbacks);
    return !failed && nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
           nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, WINDOW) == 0 &&
           flush(connection);
}

bool request_stream(struct connection *connection, struct parser *parser, const char *path, const char *host,
                    const char *accepted)
{
    nghttp2_nv head[] = {FIELD(":method", "GET"), FIELD(":scheme", "https"), FIELD(":authority", host),
                         FIELD(":path", path), FIELD("accept", "text/event-stream"),
                         FIELD("cache-control", "no-cache"), FIELD("accept-encoding", accepted)};
    return nghttp2_submit_request(connection->session, NULL, head, sizeof head / sizeof *head, NULL, parser) > 0 &&
           flush(connection);
}

bool feed_http2(struct connection *connection, const char *data, size_t size)
{
    return nghttp2_session_mem_recv(connection->session, (const uint8_t *)data, size) == (ssize_t)size &&
           flush(connection);
}
