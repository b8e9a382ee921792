/* A client's connection: a socket, with TLS around it and HTTP/2 inside it where that is asked for. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;
struct nghttp2_session;

/* What a connection waits for. */
enum stage { CLOSED, CONNECTING, HANDSHAKE, READY };

struct connection {
    enum stage stage;
    int fd;
    int error;                       /* of the system, if that is how it ended; else 0 */
    struct ssl_st *ssl;              /* NULL in clear */
    struct nghttp2_session *session; /* NULL over HTTP/1.1 */
};

/* Before the first TLS connection; `http2` is what is offered to the server. */
bool prepare_tls(bool http2);

bool connect_to(struct connection *connection, int port);

/* Goes on with a connection that is not ready; false when it has failed. */
bool advance(struct connection *connection, bool tls, bool *wants_write);

/* All of it at once: requests are small. */
bool write_all(struct connection *connection, const void *data, size_t size);

/* As `recv` does: 0 at the end, -1 when there is nothing now. `*more` when it holds more already. */
ssize_t read_some(struct connection *connection, char *data, size_t size, bool *more);

void close_connection(struct connection *connection);

#endif
