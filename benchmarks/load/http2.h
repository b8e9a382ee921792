/* Many streams of one HTTP/2 connection, each with a parser of its own. */
#ifndef HTTP2_H
#define HTTP2_H

#include "connection.h"
#include "parse.h"

/* Sends the preface; windows are so large that the client never holds a server back. */
bool begin_http2(struct connection *connection, struct tally *tally);

/* Asks for `path`: what comes in is fed to `parser`, whose phase tells how far its stream is. */
bool request_stream(struct connection *connection, struct parser *parser, const char *path, const char *host,
                    const char *accepted);

/* Takes what was read, and sends what that calls for. */
bool feed_http2(struct connection *connection, const char *data, size_t size);

#endif
