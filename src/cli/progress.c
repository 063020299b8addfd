/* One line, drawn anew, as wide as the terminal. Owns nothing. */
#include "cli/progress.h"

#include "cli/command.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, TEXT = 256 };

void pph_progress_init(pph_progress *progress)
{
    *progress = (pph_progress){.shown = isatty(STDERR_FILENO), .last = pph_clock_now()};
}

/* The rate of the last seconds: what is older than three weighs less than a third. */
void pph_progress_count(pph_progress *progress, uint64_t done)
{
    pph_nanos now = pph_clock_now();
    double seconds = (double)(now - progress->last) / 1e9;
    if (seconds < 0.05 || done < progress->counted)
        return;
    double now_rate = (double)(done - progress->counted) / seconds;
    double weight = progress->rate > 0 ? seconds / (seconds + 3) : 1;
    progress->rate += weight * (now_rate - progress->rate);
    progress->last = now;
    progress->counted = done;
}

void pph_progress_draw(pph_progress *progress, double part, const char *format, ...)
{
    char text[TEXT], bar[BAR + 1];
    struct winsize window;
    if (!progress->shown)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    part = part > 0 ? PPH_MIN(part, 1.0) : 0;
    memset(bar, ' ', BAR);
    memset(bar, '#', (size_t)(part * BAR));
    bar[BAR] = 0;
    size_t columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 40 ? window.ws_col : 80;
    fprintf(stderr, "\r\033[K[%s] %3d %%  ", bar, (int)(part * 100));
    pph_command_show(stderr, pph_str_view(text), columns - BAR - 11);
    fflush(stderr);
    progress->drawn = true;
}

void pph_progress_clear(pph_progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
    progress->drawn = false;
}

const char *pph_progress_bytes(double bytes, char text[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 < PPH_COUNT(units); unit++)
        bytes /= 1000;
    snprintf(text, 16, "%.*f %s",
             !unit || bytes >= 100 ? 0
             : bytes >= 10         ? 1
                                   : 2,
             bytes, units[unit]);
    return text;
}

const char *pph_progress_time(double seconds, char text[32])
{
    long whole = seconds < 0 ? 0 : seconds > 1e8 ? 100000000 : (long)(seconds + 0.5);
    if (whole < 100)
        snprintf(text, 32, "%ld s", whole);
    else if (whole < 3600)
        snprintf(text, 32, "%ld min", (whole + 30) / 60);
    else
        snprintf(text, 32, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
    return text;
}
