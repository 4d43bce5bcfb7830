/* Debug locations: the source line that each instruction comes from. Only .loc and .file directives
 * are asked for: a full DWARF section would make ptxas compile for debugging. */
#include "back/gen.h"
#include <llvm-c/DebugInfo.h>

#define DIRECTIVES_ONLY ((LLVMDWARFEmissionKind)3) /* not in the C enumeration */

struct place { /* a file, as scope of the function in work */
    const char *name;
    LLVMMetadataRef file, scope;
};
struct gen_lines {
    const struct back_lines *lines;
    LLVMDIBuilderRef di;
    LLVMMetadataRef function;
    VEC(struct place) places;
};

static LLVMMetadataRef make_file(struct gen_lines *l, const char *name)
{
    return LLVMDIBuilderCreateFile(l->di, name, strlen(name), "", 0);
}

struct gen_lines *gen_lines_open(struct gen *g, const struct back_lines *lines)
{
    static const char version[] = "Debug Info Version", producer[] = "nnc";
    struct gen_lines *l = xcalloc(1, sizeof *l);
    l->lines = lines;
    l->di = LLVMCreateDIBuilder(g->m);
    LLVMDIBuilderCreateCompileUnit(l->di, LLVMDWARFSourceLanguageC, make_file(l, "nnc"), producer,
                                   sizeof producer - 1, true, "", 0, 0, "", 0, DIRECTIVES_ONLY, 0,
                                   false, false, "", 0, "", 0);
    LLVMAddModuleFlag(g->m, LLVMModuleFlagBehaviorWarning, version, sizeof version - 1,
                      LLVMValueAsMetadata(LLVMConstInt(g->i32, LLVMDebugMetadataVersion(), false)));
    return l;
}

void gen_lines_close(struct gen *g)
{
    if (!g->lines)
        return;
    LLVMDIBuilderFinalize(g->lines->di);
    LLVMDisposeDIBuilder(g->lines->di);
    vec_free(&g->lines->places);
    free(g->lines);
    g->lines = NULL;
}

static const struct back_line *line_of(const struct gen_lines *l, uint32_t origin)
{
    const struct back_line *at = origin < l->lines->n ? &l->lines->of[origin] : NULL;
    return at && at->file && at->line ? at : NULL;
}

static struct place *find_place(struct gen_lines *l, const char *name)
{
    for (uint32_t i = 0; i < l->places.n; i++)
        if (!strcmp(l->places.p[i].name, name))
            return &l->places.p[i];
    vec_push(&l->places, ((struct place){name, make_file(l, name), NULL}));
    return &vec_last(&l->places);
}

void gen_lines_function(struct gen *g, const char *name)
{
    struct gen_lines *l = g->lines;
    if (!l)
        return;
    const struct back_line *first = NULL;
    for (uint32_t i = 1; i < g->k->insns.n && !first; i++)
        first = line_of(l, g->k->insns.p[i].origin);
    struct place *p = find_place(l, first ? first->file : "nnc");
    unsigned line = first ? first->line : 0;
    LLVMMetadataRef type =
        LLVMDIBuilderCreateSubroutineType(l->di, p->file, NULL, 0, LLVMDIFlagZero);
    l->function =
        LLVMDIBuilderCreateFunction(l->di, p->file, name, strlen(name), name, strlen(name), p->file,
                                    line, type, false, true, line, LLVMDIFlagZero, true);
    LLVMSetSubprogram(g->fn, l->function);
    for (uint32_t i = 0; i < l->places.n; i++)
        l->places.p[i].scope = NULL;
    p->scope = l->function;
    LLVMSetCurrentDebugLocation2(
        g->b, LLVMDIBuilderCreateDebugLocation(g->cx, line, 0, l->function, NULL));
}

void gen_lines_at(struct gen *g, uint32_t origin)
{
    struct gen_lines *l = g->lines;
    const struct back_line *at = l && origin ? line_of(l, origin) : NULL;
    if (!at)
        return;
    struct place *p = find_place(l, at->file);
    if (!p->scope)
        p->scope = LLVMDIBuilderCreateLexicalBlockFile(l->di, l->function, p->file, 0);
    LLVMSetCurrentDebugLocation2(
        g->b, LLVMDIBuilderCreateDebugLocation(g->cx, at->line, 0, p->scope, NULL));
}
