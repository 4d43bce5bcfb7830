/* The progress line: at most ten a second on a terminal, one in ten seconds elsewhere. */
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void progress_start(struct progress *p, const struct nn_train_options *o, int64_t first,
                    int64_t total, int64_t per_epoch)
{
    double now = nn_now();
    *p = (struct progress){.o = o,
                           .first = first,
                           .total = total,
                           .per_epoch = per_epoch,
                           .started = now,
                           .shown = now};
}

double progress_rate(const struct progress *p, int64_t step)
{
    double seconds = p->stepped - p->started - p->paused;
    return seconds > 0 ? (double)(step - p->first) / seconds : 0;
}

static void duration(char *text, size_t size, double seconds)
{
    long long s = seconds < 1e9 ? (long long)(seconds + 0.5) : 999999999;
    text[0] = 0;
    if (s >= 3600)
        nn_append(text, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        nn_append(text, size, "%lld:%02lld", s / 60, s % 60);
}

static void place(const struct progress *p, int64_t step, char *text, size_t size)
{
    int64_t epochs = (p->total + p->per_epoch - 1) / p->per_epoch;
    text[0] = 0;
    nn_append(text, size, "epoch %lld/%lld  step %lld/%lld",
              (long long)((step - 1) / p->per_epoch + 1), (long long)epochs, (long long)step,
              (long long)p->total);
}

void progress_step(struct progress *p, int64_t step, double loss)
{
    double now = nn_now(), every = p->o->terminal ? 0.1 : 10;
    p->loss = p->has_loss ? 0.95 * p->loss + 0.05 * loss : loss;
    p->has_loss = true;
    p->stepped = now;
    if (!p->o->line || now - p->shown < every)
        return;
    p->shown = now;
    char text[256], eta[32];
    double rate = progress_rate(p, step), each = (now - p->started) / (double)(step - p->first);
    place(p, step, text, sizeof text);
    duration(eta, sizeof eta, (double)(p->total - step) * each);
    nn_append(text, sizeof text, "  %.*f steps/s  loss %.4g%s  eta %s", rate < 10 ? 2 : 0, rate,
              p->loss, p->metric, eta);
    p->o->line(p->o->user, NN_LINE_PROGRESS, text);
}

/* ` name 0.1234`; large ones in short form. */
static void figure(char *text, size_t size, const char *name, double v)
{
    if (fabs(v) < 1e6)
        nn_append(text, size, " %s %.4f", name, v);
    else
        nn_append(text, size, " %s %.4g", name, v);
}

void progress_epoch(struct progress *p, int64_t step, double loss, const char *split,
                    const struct nn_metric *v, uint32_t n)
{
    if (!p->o->line)
        return;
    char text[512];
    place(p, step, text, sizeof text);
    double rate = progress_rate(p, step);
    nn_append(text, sizeof text, "  %.*f steps/s", rate < 10 ? 2 : 0, rate);
    if (isfinite(loss))
        nn_append(text, sizeof text, "  loss %.4f", loss);
    if (split)
        nn_append(text, sizeof text, "  %s:", split);
    for (uint32_t i = 0; split && i < n; i++)
        figure(text, sizeof text, v[i].name, v[i].value);
    if (split && n) { /* the first metric behind the losses, else the loss */
        const struct nn_metric *x = &v[n > 1 && strncmp(v[1].name, "loss.", 5) ? 1 : 0];
        snprintf(p->metric, sizeof p->metric, "  %s", split);
        figure(p->metric, sizeof p->metric, x->name, x->value);
    }
    p->shown = nn_now();
    p->o->line(p->o->user, NN_LINE_NOTE, text);
}
