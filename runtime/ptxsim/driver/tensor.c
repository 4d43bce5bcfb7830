/* Tensor maps: checked as the API's documentation says, packed as ../tensormap.h says. */
#include "../tensormap.h"
#include "driver.h"
#include <string.h>

static unsigned element_bytes(CUtensorMapDataType type)
{
    switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8: return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ: return 4;
    case CU_TENSOR_MAP_DATA_TYPE_UINT64:
    case CU_TENSOR_MAP_DATA_TYPE_INT64:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64: return 8;
    }
    return 0; /* packed 4- and 6-bit types */
}

static bool is_float(CUtensorMapDataType type) { return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16; }

static CUresult check(const struct sim_tensor_map *m, const cuuint64_t *dim,
                      const cuuint64_t *stride, const cuuint32_t *box, const cuuint32_t *step)
{
    unsigned grain = m->interleave == CU_TENSOR_MAP_INTERLEAVE_32B ? 32 : 16;
    static const unsigned within[] = {0, 32, 64, 128};
    if (m->address % grain)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < m->rank; i++)
        if (!dim[i] || dim[i] > 1ull << 32 || !box[i] || box[i] > 256 || !step[i] || step[i] > 8)
            return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i + 1 < m->rank; i++) {
        uint64_t least = i ? stride[i - 1] * dim[i] : 0;
        if (stride[i] % grain || stride[i] >= 1ull << 40 || stride[i] < least)
            return CUDA_ERROR_INVALID_VALUE;
    }
    unsigned inner = box[0] * m->element;
    if (m->interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
        (inner % 16 || (m->swizzle && inner > within[m->swizzle])))
        return CUDA_ERROR_INVALID_VALUE;
    if (m->interleave != CU_TENSOR_MAP_INTERLEAVE_NONE && m->rank < 3)
        return CUDA_ERROR_INVALID_VALUE;
    if (m->interleave == CU_TENSOR_MAP_INTERLEAVE_32B && m->swizzle != CU_TENSOR_MAP_SWIZZLE_32B)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *dim, const cuuint64_t *stride,
                                const cuuint32_t *box, const cuuint32_t *step,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
    ENTER(NEED_INIT);
    if (!map || (uintptr_t)map % 64 || !rank || rank > 5 || !address || !dim ||
        (rank > 1 && !stride) || !box || !step || interleave > CU_TENSOR_MAP_INTERLEAVE_32B ||
        promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B ||
        fill > CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA)
        return CUDA_ERROR_INVALID_VALUE;
    if (fill && !is_float(type))
        return CUDA_ERROR_INVALID_VALUE;
    if (!element_bytes(type) || swizzle > CU_TENSOR_MAP_SWIZZLE_128B)
        return type <= 15 && swizzle <= 6
                   ? not_simulated("cuTensorMapEncodeTiled",
                                   "4- and 6-bit types and swizzles by larger "
                                   "atoms are not simulated")
                   : CUDA_ERROR_INVALID_VALUE;
    struct sim_tensor_map m = {
        .magic = SIM_TENSOR_MAP_MAGIC,
        .type = (uint8_t)type,
        .rank = (uint8_t)rank,
        .interleave = (uint8_t)interleave,
        .swizzle = (uint8_t)swizzle,
        .address = (uint64_t)(uintptr_t)address,
        .element = (uint8_t)element_bytes(type),
        .promotion = (uint8_t)promotion,
        .fill = (uint8_t)fill,
    };
    CUresult r = check(&m, dim, stride, box, step);
    if (r)
        return r;
    for (unsigned i = 0; i < rank; i++) {
        m.last[i] = (uint32_t)(dim[i] - 1);
        m.box[i] = (uint16_t)box[i];
        m.step[i] = (uint8_t)step[i];
        if (i + 1 < rank)
            m.stride[i] = stride[i];
    }
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}

CUresult cuTensorMapReplaceAddress(CUtensorMap *map, void *address)
{
    ENTER(NEED_INIT);
    struct sim_tensor_map m;
    if (!map || !address || (uintptr_t)address % 16)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&m, map, sizeof m);
    if (m.magic != SIM_TENSOR_MAP_MAGIC)
        return CUDA_ERROR_INVALID_VALUE;
    m.address = (uint64_t)(uintptr_t)address;
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}
