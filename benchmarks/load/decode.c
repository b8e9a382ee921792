#include "decode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { PIECE = 64 * 1024, GZIP_WINDOW = 15 + 16 };

struct decoder {
    z_stream gzip;
    ZSTD_DStream *zstd; /* NULL: it is gzip */
};

static bool is(const char *name, size_t size, const char *coding)
{
    return size == strlen(coding) && strncasecmp(name, coding, size) == 0;
}

struct decoder *open_decoder(const char *name, size_t size)
{
    bool gzip = is(name, size, "gzip"), zstd = is(name, size, "zstd");
    struct decoder *decoder = gzip || zstd ? calloc(1, sizeof *decoder) : NULL;
    if (decoder && zstd)
        decoder->zstd = ZSTD_createDStream();
    else if (decoder)
        inflateInit2(&decoder->gzip, GZIP_WINDOW);
    return decoder;
}

static bool decode_gzip(struct decoder *decoder, const char *data, size_t size, take_decoded *take, void *context)
{
    char piece[PIECE];
    z_stream *stream = &decoder->gzip;
    stream->next_in = (Bytef *)data;
    stream->avail_in = (uInt)size;
    do {
        stream->next_out = (Bytef *)piece;
        stream->avail_out = sizeof piece;
        int done = inflate(stream, Z_SYNC_FLUSH);
        if (done != Z_OK && done != Z_STREAM_END && done != Z_BUF_ERROR)
            return false;
        take(context, piece, sizeof piece - stream->avail_out);
    } while (stream->avail_out == 0);
    return true;
}

/* Frames, as many as there are. */
static bool decode_zstd(struct decoder *decoder, const char *data, size_t size, take_decoded *take, void *context)
{
    char piece[PIECE];
    ZSTD_inBuffer in = {data, size, 0};
    bool full = false;
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {piece, sizeof piece, 0};
        if (ZSTD_isError(ZSTD_decompressStream(decoder->zstd, &out, &in)))
            return false;
        take(context, piece, out.pos);
        full = out.pos == out.size;
    }
    return true;
}

bool decode(struct decoder *decoder, const char *data, size_t size, take_decoded *take, void *context)
{
    return (decoder->zstd ? decode_zstd : decode_gzip)(decoder, data, size, take, context);
}
