/* Content codings undone as they come: what an event stream's client does before it reads. */
#ifndef DECODE_H
#define DECODE_H

#include <stdbool.h>
#include <stddef.h>

struct decoder;

/* Called with each piece of what the bytes stand for. */
typedef void take_decoded(void *context, const char *data, size_t size);

/* For the value of a Content-Encoding header: gzip or zstd; NULL for any other. */
struct decoder *open_decoder(const char *name, size_t size);

/* False when the bytes are not in the coding. */
bool decode(struct decoder *decoder, const char *data, size_t size, take_decoded *take, void *context);

#endif
