/* Numbers of the software GPU: conversions of halves for every value, roundings against their
 * definition, and each row of the table of arithmetic in both of its builds on the same random
 * lanes. */
#include "core/number.h"
#include "core/warp.h"
#include "simgpu.h"

static void halves(void)
{
    int wrong = 0;
    for (uint32_t h = 0; h < 65536; h++) {
        bool nan16 = (h & 0x7FFF) > 0x7C00, nan_bf = (h & 0x7FFF) > 0x7F80;
        float f = sim_from_f16(h), b = sim_from_bf16(h);
        wrong += nan16 ? f == f || sim_to_f16(f) != 0x7FFF
                       : sim_to_f16(f) != h || sim_f16_of((double)f, SIM_RN) != h;
        wrong += nan_bf ? b == b || sim_to_bf16(b) != 0x7FFF
                        : sim_to_bf16(b) != h || sim_bf16_of((double)b, SIM_RN) != h;
        if (nan16 || (h & 0x7FFF) >= 0x7BFF)
            continue;
        /* between two neighbours: each rounding goes to its side, a tie to the even one */
        float next = sim_from_f16(h + 1), middle = f + (next - f) / 2,
              above = f + (next - f) * 0.75f;
        uint32_t even = h & 1 ? h + 1 : h;
        bool negative = h & 0x8000;
        wrong += sim_to_f16(middle) != even || sim_f16_of((double)middle, SIM_RN) != even;
        wrong += sim_to_f16(above) != h + 1 || sim_f16_of((double)above, SIM_RZ) != h;
        wrong += sim_f16_of((double)middle, SIM_RM) != (negative ? h + 1 : h);
        wrong += sim_f16_of((double)middle, SIM_RP) != (negative ? h : h + 1);
    }
    test(!wrong);
    test(sim_to_f16(65519.9f) == 0x7BFF && sim_to_f16(65520.0f) == 0x7C00 &&
         sim_f16_of(1e9, SIM_RZ) == 0x7BFF);
    test(sim_to_tf32(sim_f32(0x3F801000)) == 0x3F802000 &&
         sim_to_tf32(sim_f32(0xBF800FFF)) == 0xBF800000);
    for (uint32_t b = 0; b < 256; b++) {
        bool nan = (b & 0x7F) == 0x7F, special = (b & 0x7C) == 0x7C;
        wrong += !nan && sim_e4m3_of((double)sim_from_e4m3(b)) != b;
        wrong += !special && sim_e5m2_of((double)sim_from_e5m2(b)) != b;
    }
    test(!wrong && sim_e4m3_of(1e9) == 0x7E && sim_e5m2_of(-1e9) == 0xFB &&
         sim_e4m3_of(448) == 0x7E);
    /* a*b + c of halves whose double sum is a tie of halves, with a rest below: rounded once */
    double s = sim_fma_odd(1 + 0x1p-10, 1 + 0x1p-10, 0x1p-60);
    test(sim_f16_of(s, SIM_RN) == sim_f16_of(1 + 0x1p-9 + 0x1p-20, SIM_RN));
    test(sim_bf16_of(sim_fma_odd(1, 1 + 0x1p-8, 0x1p-90), SIM_RN) == 0x3F81);
}

#define ROW_BYTES 256
static _Alignas(128) uint8_t plain[8 * ROW_BYTES], fast[8 * ROW_BYTES];

static uint64_t random_bits(uint64_t i)
{
    uint64_t x = i * 0x9E3779B97F4A7C15u + 99;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    return x ^ x >> 29;
}

/* Random registers: small numbers, ordinary floats and any bits. */
static void fill(const char *shape, uint64_t seed)
{
    for (size_t r = 0; r < 6; r++) {
        char letter = r && r < strlen(shape) ? shape[r] : 'l';
        for (uint64_t l = 0; l < 32; l++) {
            uint64_t v = random_bits(seed * 1000 + r * 32 + l);
            v = l % 3 == 0 ? v % 40 : v;
            if (l % 3 == 1 && letter == 'F')
                v = sim_bits32((float)number_at(v) * 8);
            if (l % 3 == 1 && letter == 'D')
                v = sim_bits64(number_at(v) * 8);
            if (letter == 'l' || letter == 'D')
                memcpy(plain + r * ROW_BYTES + 8 * l, &v, 8);
            else
                memcpy(
                    plain + r * ROW_BYTES + 4 * l,
                    &(uint32_t){(uint32_t)v & (letter == 'h' || letter == 'H' ? 0xFFFF : SIM_ALL)},
                    4);
        }
    }
    memcpy(fast, plain, sizeof plain);
}

static bool equal(const char *shape)
{
    for (size_t l = 0; l < 32; l++) {
        uint32_t x, y;
        uint64_t u, v;
        memcpy(&x, plain + 4 * l, 4), memcpy(&y, fast + 4 * l, 4);
        memcpy(&u, plain + 8 * l, 8), memcpy(&v, fast + 8 * l, 8);
        bool nan32 = sim_f32(x) != sim_f32(x) && sim_f32(y) != sim_f32(y);
        bool nan64 = sim_f64(u) != sim_f64(u) && sim_f64(v) != sim_f64(v);
        if (shape[0] == 'D' ? u != v && !nan64 : shape[0] == 'F' ? x != y && !nan32 : x != y)
            return false;
    }
    return true;
}

static void builds(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return;
    struct sim_rows a = sim_rows_plain(), b = sim_rows_avx2();
    static struct sim_warp w;
    static const uint32_t mods[] = {0, MOD_FTZ, MOD_SAT, 1, 2, 3 | MOD_FTZ};
    test(a.count == b.count && a.count > 300);
    for (size_t i = 1; i < a.count; i++) { /* carries come in as 0; tests/cuda has chains of them */
        struct sim_inst in = {.d = 0,
                              .a = ROW_BYTES,
                              .b = 2 * ROW_BYTES,
                              .c = 3 * ROW_BYTES,
                              .e = 4 * ROW_BYTES,
                              .count = 2};
        test(!strcmp(a.row[i].key, b.row[i].key));
        for (uint64_t round = 0; round < 12; round++) {
            uint32_t mask = round & 1 ? 0x5A3C0F7E : SIM_ALL;
            in.mods = mods[round / 2];
            bool general = in.mods && a.row[i].general;
            fill(a.row[i].shape, i * 100 + round);
            w.r = plain;
            memset(w.carry, 0, sizeof w.carry);
            (general ? a.row[i].general : a.row[i].fn)(&w, &in, mask);
            w.r = fast;
            memset(w.carry, 0, sizeof w.carry);
            (general ? b.row[i].general : b.row[i].fn)(&w, &in, mask);
            if (!equal(a.row[i].shape)) {
                printf("%s differs\n", a.row[i].key);
                test(!"both builds agree");
                break;
            }
        }
    }
#endif
}

int main(void)
{
    halves();
    builds();
    return test_done();
}
