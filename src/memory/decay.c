/* The curve of forgetting. */
#include "memory/decay.h"

#include <math.h>

double pph_decay(double importance, int64_t since, int64_t now, double rate, double floor)
{
    double days = now > since ? (double)(now - since) / 86400000.0 : 0;
    double left = importance * exp(-rate * days);
    return fmax(left, fmin(importance, floor));
}
