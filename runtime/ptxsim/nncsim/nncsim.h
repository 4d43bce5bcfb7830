/* nncsim: the command that runs one kernel of a PTX file on the software GPU. nncsim.c is the
 * command, args.c the words of --args, npy.c files. */
#ifndef NNCSIM_H
#define NNCSIM_H

#include "sim.h"

enum ns_type {
    NS_I8,
    NS_I16,
    NS_I32,
    NS_I64,
    NS_U8,
    NS_U16,
    NS_U32,
    NS_U64,
    NS_F16,
    NS_BF16,
    NS_F32,
    NS_F64,
    NS_TYPES
};
extern const char *const ns_names[NS_TYPES];
uint32_t ns_size(enum ns_type t);

struct ns_arg {
    bool buffer, file; /* file: a buffer whose contents are given */
    enum ns_type type;
    uint64_t count; /* elements of a buffer; a complex number is two */
    uint64_t unit;  /* of an npy file: elements of `type` that are one of the array's */
    uint8_t scalar[8];
    uint8_t *data; /* of a buffer */
    uint64_t at;   /* on the device */
    char descr[8]; /* of npy: "<f4" */
    uint64_t shape[8];
    int rank;
};

/* One word of --args. False: *why. */
bool ns_parse_arg(struct ns_arg *a, const char *word, uint64_t seed, char *why, size_t size);
void ns_print(const struct ns_arg *a, uint64_t k); /* element k, after a space */
bool ns_read_npy(struct ns_arg *a, const char *path, char *why, size_t size);
bool ns_write_npy(const struct ns_arg *a, const char *path);

#endif
