/* nnc devices: what this machine offers. */
#include "nnc/nnc.h"
#include <unistd.h>

int cmd_devices(int argc, char **argv)
{
    struct nnc_options o;
    nnc_parse_options(&o, "devices", argc, argv, "json", 0);
    const struct target *t = target_host();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (o.json)
        printf("{\"devices\":[{\"name\":\"cpu\",\"level\":\"%s\",\"cores\":%ld,"
               "\"vector_bytes\":%u,\"fma\":%s}]}\n",
               t->name, cores, t->vector_bytes, t->fma ? "true" : "false");
    else
        printf("cpu     %s, %ld cores, vectors of %u bytes%s\n", t->name, cores, t->vector_bytes,
               t->fma ? ", fma" : "");
    nnc_free_options(&o);
    return 0;
}
