/* What the 128 bytes of a CUtensorMap hold here: the driver's cuTensorMapEncodeTiled writes them,
 * the interpreter's bulk tensor copies (cp.async.bulk.tensor) read them. Hardware's layout is not
 * public and no program may depend on it. A map comes to a kernel by value, as a .param or in
 * constant memory, or as an address of global memory. */
#ifndef NN_SIM_TENSORMAP_H
#define NN_SIM_TENSORMAP_H

#include <stdint.h>

#define SIM_TENSOR_MAP_MAGIC 0x4d544e4eu /* "NNTM" */

struct sim_tensor_map {
    uint32_t magic;
    uint8_t type; /* CUtensorMapDataType: 0 u8, 1 u16, 2 u32, 3 s32, 4 u64, 5 s64, 6 f16, 7 f32, 8
                     f64, 9 bf16, 10 f32 ftz, 11 tf32, 12 tf32 ftz */
    uint8_t rank; /* 1 to 5 */
    uint8_t interleave; /* 0: none; 1: 16 bytes; 2: 32 bytes */
    uint8_t swizzle;    /* 0: none; 1, 2, 3: within 32, 64, 128 bytes */
    uint64_t address;   /* of element 0; 16-byte aligned */
    uint64_t stride[4]; /* bytes from one index to the next in dimensions 1 to rank - 1 */
    uint32_t last[5];   /* size less 1 of each dimension, the innermost first */
    uint16_t box[5];    /* elements of a copy in each dimension, 1 to 256 */
    uint8_t step[5];    /* of elements within the box, 1 to 8 */
    uint8_t element;    /* bytes */
    uint8_t promotion;  /* of L2 lines: without effect */
    uint8_t fill;       /* 0: out of bounds elements are zero; 1: NaN */
    uint8_t pad[40];
};
_Static_assert(sizeof(struct sim_tensor_map) == 128, "a CUtensorMap");

#endif
