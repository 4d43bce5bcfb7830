/* The uniform numbers of op random, as ir.h defines them; loop/maths.c writes the same in loop IR.
 */
#include "ir/ir.h"

uint32_t ir_random_key(int64_t seed, uint64_t stream)
{
    uint64_t z = (uint64_t)seed ^ stream * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ z >> 31);
}

uint32_t ir_random_bits(uint32_t key, uint32_t c0, uint32_t c1, int word)
{
    for (int round = 0; round < 10; round++) {
        uint64_t product = (uint64_t)0xd256d193u * c0;
        c0 = (uint32_t)(product >> 32) ^ key ^ c1;
        c1 = (uint32_t)product;
        key += 0x9e3779b9u;
    }
    return word ? c1 : c0;
}

float ir_random_uniform(int64_t seed, int64_t step, uint64_t stream, int word, uint64_t index)
{
    uint32_t c1 = (uint32_t)((uint64_t)step ^ index >> 32);
    uint32_t bits = ir_random_bits(ir_random_key(seed, stream), (uint32_t)index, c1, word);
    return (float)(bits >> 8) * 0x1p-24f;
}
