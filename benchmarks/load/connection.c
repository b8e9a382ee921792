#define _GNU_SOURCE
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context;

bool prepare_tls(bool http2)
{
    static const unsigned char H2[] = "\x02h2", HTTP1[] = "\x08http/1.1";
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return false;
    /* Many small records to one `recv`, or two system calls a record would be what is measured. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 64 * 1024);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* a certificate of the benchmark's own */
    return SSL_CTX_set_alpn_protos(context, http2 ? H2 : HTTP1, http2 ? 3 : 9) == 0;
}

bool connect_to(struct connection *connection, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connection->stage = CONNECTING;
    return connection->fd >= 0 &&
           (connect(connection->fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
}

static bool shake_hands(struct connection *connection, bool *wants_write)
{
    int done = SSL_connect(connection->ssl);
    if (done == 1) {
        connection->stage = READY;
        return true;
    }
    int why = SSL_get_error(connection->ssl, done);
    *wants_write = why == SSL_ERROR_WANT_WRITE;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

bool advance(struct connection *connection, bool tls, bool *wants_write)
{
    *wants_write = false;
    if (connection->stage == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
            return false;
        connection->stage = tls ? HANDSHAKE : READY;
        if (tls) {
            connection->ssl = SSL_new(context);
            if (connection->ssl == NULL || !SSL_set_fd(connection->ssl, connection->fd))
                return false;
        }
    }
    return connection->stage == READY || shake_hands(connection, wants_write);
}

bool write_all(struct connection *connection, const void *data, size_t size)
{
    if (connection->ssl)
        return SSL_write(connection->ssl, data, (int)size) == (int)size;
    return send(connection->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

ssize_t read_some(struct connection *connection, char *data, size_t size, bool *more)
{
    *more = false;
    if (connection->ssl == NULL) {
        ssize_t got = recv(connection->fd, data, size, 0);
        if (got >= 0 || errno == EAGAIN || errno == EINTR)
            return got;
        connection->error = errno;
        return 0;
    }
    errno = 0;
    int got = SSL_read(connection->ssl, data, (int)size);
    *more = got > 0 && SSL_has_pending(connection->ssl); /* epoll does not tell of these */
    if (got > 0)
        return got;
    if (SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ)
        return -1;
    connection->error = errno;
    return 0;
}

void close_connection(struct connection *connection)
{
    if (connection->ssl)
        SSL_free(connection->ssl);
    close(connection->fd);
    connection->fd = -1;
    connection->ssl = NULL;
    connection->stage = CLOSED;
}
