/* wgmma: products of a warpgroup. Each of its four warps has 16 rows of the result, which depend on
 * shared memory and its own registers alone: a warp computes them where it comes to the
 * instruction. Operands in shared memory are found by matrix descriptors, in the layouts that
 * CUTLASS calls canonical. */
#include "access.h"
#include "number.h"
#include "tensor.h"

struct descriptor {
    uint64_t start, leading, stride;
    uint32_t row; /* bytes of a row of the swizzle's atom: 16, 32, 64, 128 */
};

static struct descriptor descriptor_of(uint64_t v)
{
    static const uint32_t rows[4] = {16, 128, 64, 32};
    return (struct descriptor){(v & 0x3FFF) << 4, (v >> 16 & 0x3FFF) << 4, (v >> 32 & 0x3FFF) << 4,
                               rows[v >> 62]};
}

/* The byte address of element (x, k): x counts rows of A or columns of B. */
static uint64_t element(const struct descriptor *d, bool trans, uint32_t x, uint32_t k,
                        uint32_t bytes)
{
    uint32_t per = 16 / bytes;
    uint64_t at;
    if (!trans) {
        at = d->start + x / 8 * d->stride + (uint64_t)(x % 8) * d->row;
        at += d->row == 16 ? k / per * d->leading + k % per * bytes : (uint64_t)k * bytes;
    } else if (d->row == 16) {
        at = d->start + x / 8 * d->stride + k / 8 * d->leading + k % 8 * 16 + x % 8 * bytes;
    } else {
        uint32_t wide = d->row / bytes;
        at = d->start + x / wide * d->leading + k / 8 * d->stride + (uint64_t)(k % 8) * d->row +
             x % wide * bytes;
    }
    uint64_t bits = d->row == 128 ? 7 : d->row == 64 ? 3 : d->row == 32 ? 1 : 0;
    return at ^ (at >> 7 & bits) << 4;
}

static float value(uint8_t e, const uint8_t *p)
{
    uint16_t h = 0;
    uint32_t v = 0;
    memcpy(&h, p, sim_element_bits(e) >= 16 ? 2 : 1);
    switch ((enum element)e) {
    case EL_F16: return sim_from_f16(h);
    case EL_BF16: return sim_from_bf16(h);
    case EL_S8: return (float)(int8_t)h;
    case EL_U8: return (float)(uint8_t)h;
    case EL_E4M3: return sim_from_e4m3(h);
    case EL_E5M2: return sim_from_e5m2(h);
    case EL_TF32: memcpy(&v, p, 4); return sim_f32(v & 0xFFFFE000);
    case EL_F32:
    case EL_F64:
    case EL_S32: break;
    }
    return 0;
}

/* Reads an operand of `rows` by k, checking its 16-byte pieces as reads of the warp's lanes. False:
 * reported. */
static bool operand(struct sim_warp *w, const struct wgmma *m, uint64_t desc, uint8_t e, bool trans,
                    uint32_t first, uint32_t rows, float (*to)[32])
{
    struct descriptor d = descriptor_of(desc);
    uint32_t bytes = (uint32_t)sim_element_bits(e) / 8, per = 16 / bytes, part, lanes = 0;
    uint64_t at[SIM_LANES];
    uint32_t outer = trans ? m->k : rows, inner = trans ? rows : m->k;
    w->reaches = false;
    for (uint32_t o = 0; o < outer; o++)
        for (uint32_t p = 0; p < inner; p += per) {
            at[lanes++] = w->block->window + (trans ? element(&d, true, first + p, o, bytes)
                                                    : element(&d, false, first + o, p, bytes));
            if (lanes < SIM_LANES && (o + 1 < outer || p + per < inner))
                continue;
            uint32_t mask = lanes == SIM_LANES ? SIM_ALL : (1u << lanes) - 1;
            for (; mask; mask &= ~part) {
                struct sim_region *r = sim_access_region(w, PTX_SHARED, at, mask, 16, false, &part);
                if (!r)
                    return false;
                if (w->worker->job->checked)
                    sim_race_access(w, r, at, part, 16, false, 0);
                if (w->worker->failed)
                    return false;
            }
            lanes = 0;
        }
    for (uint32_t x = 0; x < rows; x++)
        for (uint32_t k = 0; k < m->k; k++)
            to[x][k] = value(e, w->block->shared + element(&d, trans, first + x, k, bytes));
    return true;
}

static void a_from_registers(struct sim_warp *w, const struct wgmma *m, float (*a)[32])
{
    uint32_t bytes = (uint32_t)sim_element_bits(m->a) / 8, per = 4 / bytes;
    for (uint32_t r = 0; r < 4; r++) {
        const uint32_t *v = sim_row32(w, w->frame->f->ext[m->a_at + r]);
        for (uint32_t l = 0; l < SIM_LANES; l++)
            for (uint32_t p = 0; p < per; p++) {
                uint32_t word = v[l] >> 8 * bytes * p;
                a[l / 4 + 8 * (r & 1)][r / 2 * 4 * per + l % 4 * per + p] =
                    value(m->a, (const uint8_t *)&word);
            }
    }
}

static void store(struct sim_warp *w, const struct wgmma *m, uint32_t l, uint32_t j, double sum,
                  bool keep)
{
    uint32_t *d = &sim_row32(w, w->frame->f->ext[m->d_at + (m->d == EL_F16 ? j / 2 : j)])[l];
    sum = m->negative ? -sum : sum;
    if (m->d == EL_S32) {
        int64_t v = (int64_t)sum + (keep ? (int32_t)*d : 0);
        if (m->satfinite)
            v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
        *d = (uint32_t)v;
    } else if (m->d == EL_F32) {
        *d = sim_bits32((float)(sum + (keep ? (double)sim_f32(*d) : 0)));
    } else {
        uint32_t shift = 16 * (j & 1);
        float old = keep ? sim_from_f16(*d >> shift & 0xFFFF) : 0;
        *d = (*d & ~(0xFFFFu << shift)) | sim_to_f16((float)(sum + (double)old)) << shift;
    }
}

void sim_wgmma(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct wgmma m;
    float a[16][32], b[256][32];
    memcpy(&m, w->frame->f->ext + i->ext, sizeof m);
    if (mask != SIM_ALL || w->block->warps % 4) {
        sim_report(w, SIM_FAULT_SHUFFLE, sim_first(mask),
                   "wgmma is executed by lanes %08x of a block of %u warps: it needs whole groups "
                   "of 4 warps",
                   mask, w->block->warps);
        return;
    }
    bool keep = (*sim_pred(w, m.scale_d) & 1) != m.scale_not;
    uint32_t first = w->index % 4 * 16;
    if (m.a_registers)
        a_from_registers(w, &m, a);
    else if (!operand(w, &m, sim_row64(w, w->frame->f->ext[m.a_at])[0], m.a, m.trans_a, first, 16,
                      a))
        return;
    if (!operand(w, &m, sim_row64(w, m.b_at)[0], m.b, m.trans_b, 0, m.n, b))
        return;
    for (uint32_t l = 0; l < SIM_LANES; l++)
        for (uint32_t j = 0; j < m.n / 2u; j++) {
            uint32_t row = l / 4 + 8 * (j / 2 & 1), col = j / 4 * 8 + l % 4 * 2 + (j & 1);
            double sum = 0;
            for (uint32_t k = 0; k < m.k; k++)
                sum += (double)a[row][k] * (double)b[col][k];
            store(w, &m, l, j, sum, keep);
        }
}
