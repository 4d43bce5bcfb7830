/* The machine code of a CPU level's object as its hash sees it: the bytes of its section of code
 * but for those that a linker fills in. Linkers for x86-64 move such a section as a whole and
 * change nothing else of it as long as all references are relative ones to code and data; an object
 * with others, or for another processor, has no hash (linkers for aarch64 may rewrite instructions
 * that some processors get wrong). */
#include "common.h"
#include "pack/pack.h"

#include <elf.h>

/* An object in the making, all of it: LLVM wrote it, so that nothing is damaged. */
struct object {
    const char *at;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *section;
};

static const void *contents(const struct object *o, const Elf64_Shdr *s)
{
    return o->at + s->sh_offset;
}

/* The one section of code, by number; 0: none, or several. */
static uint32_t code_section(const struct object *o)
{
    uint32_t found = 0, n = 0;
    for (uint32_t i = 1; i < o->head->e_shnum; i++)
        if (o->section[i].sh_flags & SHF_EXECINSTR && o->section[i].sh_size) {
            found = i;
            n++;
        }
    return n == 1 ? found : 0;
}

/* False where the section has a reference that a linker may follow by changing instructions. */
static bool read_skips(const struct object *o, uint32_t code, struct arena *mem,
                       struct pack_code *out)
{
    for (uint32_t i = 1; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->section[i];
        if (s->sh_type != SHT_RELA || s->sh_info != code)
            continue;
        const Elf64_Rela *r = contents(o, s);
        size_t n = s->sh_size / sizeof *r;
        uint32_t *skip = ARENA_ARRAY(mem, uint32_t, n + 1);
        for (size_t k = 0; k < n; k++) {
            uint64_t type = ELF64_R_TYPE(r[k].r_info);
            if ((type != R_X86_64_PC32 && type != R_X86_64_PLT32) ||
                (k && r[k].r_offset < r[k - 1].r_offset + NN_CODE_SKIP))
                return false;
            skip[k] = (uint32_t)r[k].r_offset;
        }
        out->skip = skip;
        out->skips = n;
    }
    return true;
}

static bool find_symbol(const struct object *o, uint32_t code, const char *name, uint64_t *at)
{
    for (uint32_t i = 1; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *s = &o->section[i];
        if (s->sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *sym = contents(o, s);
        const char *text = contents(o, &o->section[s->sh_link]);
        for (size_t k = 0; k < s->sh_size / sizeof *sym; k++)
            if (sym[k].st_shndx == code && !strcmp(text + sym[k].st_name, name)) {
                *at = sym[k].st_value;
                return true;
            }
    }
    return false;
}

void pack_read_code(const struct text *bytes, const char *symbol, struct arena *mem,
                    struct pack_code *out)
{
    struct object o = {.at = bytes->p, .head = (const void *)bytes->p};
    *out = (struct pack_code){0};
    if (o.head->e_machine != EM_X86_64)
        return;
    o.section = (const void *)(o.at + o.head->e_shoff);
    uint32_t code = code_section(&o);
    if (!code || o.section[code].sh_size > UINT32_MAX || !read_skips(&o, code, mem, out) ||
        !find_symbol(&o, code, symbol, &out->symbol_at))
        return;
    out->symbol = symbol;
    out->bytes = o.section[code].sh_size;
    out->hash = nn_hash_code(contents(&o, &o.section[code]), out->bytes, out->skip, out->skips);
}
