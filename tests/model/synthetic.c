/* The generator and the writer of synthetic.h. Little-endian machines only, like the format. */
#include "synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

uint64_t synthetic_seed(const char *space, const char *name)
{
    const char *parts[] = {space, "/", name};
    uint64_t value = 0xCBF29CE484222325u;
    for (size_t i = 0; i < 3; i++)
        for (const char *at = parts[i]; *at; at++)
            value = (value ^ (uint8_t)*at) * 0x100000001B3u;
    return value;
}

void synthetic_noise(uint64_t seed, size_t first, size_t count, double mean, double scale,
                     size_t period, double spike, float *out)
{
    for (size_t i = first; i < first + count; i++) {
        uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        int64_t total =
            (int64_t)((z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48));
        double value = mean + scale * ((double)(total - 131070) / 37837.0);
        if (period && i % period == period / 2)
            value *= spike;
        out[i - first] = (float)value;
    }
}

/* To the nearest number of 11 significant bits, ties to even; infinity past the largest. */
static uint16_t half(float value)
{
    int exponent;
    double size = fabs((double)value);
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (size == 0)
        return sign;
    frexp(size, &exponent);
    exponent--;
    double digits = nearbyint(ldexp(size, exponent < -14 ? 24 : 10 - exponent));
    if (exponent < -14)
        return (uint16_t)(sign + (int)digits);
    if (exponent > 15)
        return sign | 0x7C00;
    return (uint16_t)(sign + ((exponent + 15) << 10) + (int)digits - 1024);
}

static uint16_t brain(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

size_t synthetic_elements(const synthetic_tensor *tensor)
{
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    return count;
}

static size_t width(const char *dtype)
{
    return !strcmp(dtype, "I64") ? 8 : !strcmp(dtype, "F32") ? 4 : 2;
}

static bool write_header(FILE *file, const synthetic_tensor *tensors, size_t count)
{
    size_t room = 256 + count * 400, used = 0, offset = 0;
    char *text = malloc(room);
    if (!text)
        return false;
    used += (size_t)snprintf(text, room, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < count; i++) {
        const synthetic_tensor *t = &tensors[i];
        size_t bytes = synthetic_elements(t) * width(t->dtype);
        used += (size_t)snprintf(text + used, room - used, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                 t->name, t->dtype);
        for (int d = 0; d < t->rank; d++)
            used += (size_t)snprintf(text + used, room - used, "%s%zu", d ? "," : "", t->shape[d]);
        used += (size_t)snprintf(text + used, room - used, "],\"data_offsets\":[%zu,%zu]}", offset,
                                 offset + bytes);
        offset += bytes;
    }
    text[used++] = '}';
    while (used % 8)
        text[used++] = ' ';
    uint64_t size = used;
    bool fine = fwrite(&size, 8, 1, file) == 1 && fwrite(text, used, 1, file) == 1;
    free(text);
    return fine;
}

static bool write_block(FILE *file, const synthetic_tensor *t, uint64_t seed, size_t at, size_t n)
{
    float values[BLOCK];
    uint16_t small[BLOCK];
    int64_t index[BLOCK];
    if (!strcmp(t->dtype, "I64")) {
        for (size_t i = 0; i < n; i++)
            index[i] = (int64_t)(at + i);
        return fwrite(index, 8, n, file) == n;
    }
    synthetic_noise(seed, at, n, t->mean, t->scale, t->period, t->spike, values);
    if (!strcmp(t->dtype, "F32"))
        return fwrite(values, 4, n, file) == n;
    for (size_t i = 0; i < n; i++)
        small[i] = !strcmp(t->dtype, "F16") ? half(values[i]) : brain(values[i]);
    return fwrite(small, 2, n, file) == n;
}

bool synthetic_write(const char *path, const synthetic_tensor *tensors, const uint64_t *seeds,
                     size_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool fine = write_header(file, tensors, count);
    for (size_t i = 0; fine && i < count; i++) {
        size_t elements = synthetic_elements(&tensors[i]);
        for (size_t at = 0; fine && at < elements; at += BLOCK)
            fine = write_block(file, &tensors[i], seeds[i], at,
                               elements - at < BLOCK ? elements - at : BLOCK);
    }
    return (fclose(file) == 0) && fine;
}
