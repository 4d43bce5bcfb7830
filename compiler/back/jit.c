/* Kernels into this process. Each of two threads makes an object of its share, in a context of its
 * own, unless the store has them from an earlier run; the objects are then linked by LLVM's JIT,
 * which also finds the C library's functions. */
#include "back/gen.h"
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <pthread.h>

#define WORKERS 2

struct known {
    uint64_t hash;
    nn_kernel *fn;
};
struct back_jit {
    const struct target *target;
    LLVMOrcLLJITRef orc;
    VEC(struct known) known;
    uint32_t serial;
    struct back_store store; /* find NULL: none */
};

/* One distinct new kernel of a back_jit_add. */
struct job {
    struct lo_kernel *k;
    uint64_t hash;
    uint32_t worker;
    char symbol[160];
};

struct worker {
    const struct target *target;
    uint32_t self;
    const struct job *job;
    uint32_t jobs;
    LLVMMemoryBufferRef object; /* NULL: none or failed */
    char *message;
    pthread_t thread;
};

static char *take_error(LLVMErrorRef e)
{
    char *why = LLVMGetErrorMessage(e);
    struct text t = {0};
    text_printf(&t, "LLVM's JIT: %s", why);
    LLVMDisposeErrorMessage(why);
    return t.p;
}

struct back_jit *back_jit_new(const struct target *t, char **message)
{
    if (t->kind != TARGET_CPU) {
        struct text words = {0};
        text_printf(&words, "code for %s does not run in this process", t->name);
        *message = words.p;
        return NULL;
    }
    LLVMTargetMachineRef tm = gen_target_machine(t, message); /* also initialises LLVM */
    if (!tm)
        return NULL;
    LLVMDisposeTargetMachine(tm);
    struct back_jit *j = xcalloc(1, sizeof *j);
    j->target = t;
    LLVMErrorRef e = LLVMOrcCreateLLJIT(&j->orc, NULL);
    if (e) {
        *message = take_error(e);
        free(j);
        return NULL;
    }
    return j;
}

void back_jit_free(struct back_jit *j)
{
    if (!j)
        return;
    LLVMConsumeError(LLVMOrcDisposeLLJIT(j->orc));
    vec_free(&j->known);
    free(j);
}

static nn_kernel *find_known(const struct back_jit *j, uint64_t hash)
{
    for (uint32_t i = 0; i < j->known.n; i++)
        if (j->known.p[i].hash == hash)
            return j->known.p[i].fn;
    return NULL;
}

/* A worker's whole life: its jobs become one module, one object. */
static void *work(void *arg)
{
    struct worker *w = arg;
    LLVMTargetMachineRef tm = gen_target_machine(w->target, &w->message);
    if (!tm)
        return NULL;
    struct gen g;
    uint32_t mine = 0;
    gen_open(&g, w->target, "nnc");
    for (uint32_t i = 0; i < w->jobs; i++) {
        if (w->job[i].worker != w->self)
            continue;
        lo_expand_maths(w->job[i].k, w->target->fma);
        gen_kernel(&g, w->job[i].k, w->job[i].symbol);
        mine++;
    }
    if (mine && gen_optimise(&g, tm, &w->message))
        w->object = gen_file(&g, tm, LLVMObjectFile, &w->message);
    gen_close(&g);
    LLVMDisposeTargetMachine(tm);
    return NULL;
}

/* The largest first, each to the worker with the least so far. */
static void share_out(struct job *job, uint32_t n)
{
    uint64_t load[WORKERS] = {0};
    bool *done = xcalloc(n ? n : 1, sizeof *done);
    for (uint32_t round = 0; round < n; round++) {
        uint32_t most = n, least = 0;
        for (uint32_t i = 0; i < n; i++)
            if (!done[i] && (most == n || job[i].k->insns.n > job[most].k->insns.n))
                most = i;
        for (uint32_t w = 1; w < WORKERS; w++)
            if (load[w] < load[least])
                least = w;
        done[most] = true;
        job[most].worker = least;
        load[least] += job[most].k->insns.n + 20;
    }
    free(done);
}

/* Links an object into the process; takes it over. */
static bool add_object(struct back_jit *j, LLVMMemoryBufferRef object, char **message)
{
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->orc);
    LLVMErrorRef e = LLVMOrcLLJITAddObjectFile(j->orc, lib, object);
    if (!e)
        return true;
    if (*message)
        LLVMConsumeError(e);
    else
        *message = take_error(e);
    return false;
}

/* Objects as a store has them: the size of each in 8 bytes, then its bytes. */
static void append_object(struct text *all, LLVMMemoryBufferRef object)
{
    uint64_t n = LLVMGetBufferSize(object);
    text_write(all, (const char *)&n, sizeof n);
    text_write(all, LLVMGetBufferStart(object), n);
}

static bool add_stored(struct back_jit *j, const struct text *all, char **message)
{
    for (size_t at = 0; at < all->n;) {
        uint64_t n = 0;
        if (all->n - at >= sizeof n)
            memcpy(&n, all->p + at, sizeof n);
        at += sizeof n;
        CHECK(at <= all->n && n <= all->n - at, "back: a stored object is cut short");
        if (!add_object(j, LLVMCreateMemoryBufferWithMemoryRangeCopy(all->p + at, n, "stored"),
                        message))
            return false;
        at += n;
    }
    return true;
}

/* Two threads make an object each; they are appended to `all`. */
static bool compile(struct back_jit *j, const struct job *job, uint32_t n, struct text *all,
                    char **message)
{
    struct worker w[WORKERS];
    bool started[WORKERS] = {false}, ok = true;
    for (uint32_t i = 0; i < WORKERS; i++)
        w[i] = (struct worker){.target = j->target, .self = i, .job = job, .jobs = n};
    for (uint32_t i = 1; i < WORKERS && n > 1; i++)
        started[i] = !pthread_create(&w[i].thread, NULL, work, &w[i]);
    work(&w[0]);
    for (uint32_t i = 1; i < WORKERS; i++) {
        if (started[i])
            pthread_join(w[i].thread, NULL);
        else
            work(&w[i]);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (w[i].message && ok)
            *message = w[i].message;
        else
            free(w[i].message);
        ok = ok && !*message;
        if (!w[i].object)
            continue;
        append_object(all, w[i].object);
        ok = add_object(j, w[i].object, message) && ok;
    }
    return ok;
}

static bool find_or_compile(struct back_jit *j, const uint64_t key[2], const struct job *job,
                            uint32_t n, char **message)
{
    struct text all = {0};
    bool stored = j->store.find && j->store.find(j->store.user, key, &all);
    bool ok = stored ? add_stored(j, &all, message) : compile(j, job, n, &all, message);
    if (ok && !stored && j->store.keep)
        j->store.keep(j->store.user, key, all.p, all.n);
    text_free(&all);
    return ok;
}

void back_jit_store(struct back_jit *j, const struct back_store *s) { j->store = *s; }

void back_key(const struct target *t, struct lo_kernel *const *k, size_t n, uint64_t key[2])
{
    unsigned v[3];
    LLVMGetVersion(&v[0], &v[1], &v[2]);
    for (int i = 0; i < 2; i++) {
        uint64_t h = hash_bytes((uint64_t)i * 0x9e3779b97f4a7c15u, v, sizeof v);
        h = hash_bytes(h, t->name, strlen(t->name) + 1);
        for (size_t q = 0; q < n; q++) {
            uint64_t own = lo_hash(k[q]);
            h = hash_bytes(h, &own, sizeof own);
            h = hash_bytes(h, k[q]->name ? k[q]->name : "",
                           strlen(k[q]->name ? k[q]->name : "") + 1);
        }
        key[i] = h;
    }
}

static bool look_up(struct back_jit *j, const struct job *job, uint32_t n, char **message)
{
    for (uint32_t i = 0; i < n; i++) {
        LLVMOrcExecutorAddress at = 0;
        LLVMErrorRef e = LLVMOrcLLJITLookup(j->orc, &at, job[i].symbol);
        if (e) {
            *message = take_error(e);
            return false;
        }
        vec_push(&j->known, ((struct known){job[i].hash, (nn_kernel *)(uintptr_t)at}));
    }
    return true;
}

/* The symbol is only for people who look at a profile. */
static void make_symbol(struct back_jit *j, struct job *job)
{
    int at = snprintf(job->symbol, sizeof job->symbol, "nnk%u.", j->serial++);
    for (const char *s = job->k->name ? job->k->name : ""; *s && at < (int)sizeof job->symbol - 1;
         s++, at++) {
        bool plain =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        job->symbol[at] = plain || *s == '.' ? *s : '_';
    }
    job->symbol[at] = 0;
}

bool back_jit_add(struct back_jit *j, struct lo_kernel *const *k, size_t n, nn_kernel **fn,
                  char **message)
{
    VEC(struct job) jobs = {0};
    uint64_t *hash = xcalloc(n ? n : 1, sizeof *hash), key[2];
    back_key(j->target, k, n, key);
    key[1] = hash_bytes(key[1], &j->serial, sizeof j->serial); /* it is in the symbols */
    for (size_t i = 0; i < n; i++) {
        hash[i] = lo_hash(k[i]);
        bool have = find_known(j, hash[i]) != NULL;
        for (uint32_t q = 0; q < jobs.n && !have; q++)
            have = jobs.p[q].hash == hash[i];
        if (have)
            continue;
        vec_push(&jobs, ((struct job){.k = k[i], .hash = hash[i]}));
        make_symbol(j, &vec_last(&jobs));
    }
    share_out(jobs.p, jobs.n);
    bool ok = !jobs.n || (find_or_compile(j, key, jobs.p, jobs.n, message) &&
                          look_up(j, jobs.p, jobs.n, message));
    for (size_t i = 0; i < n && ok; i++)
        fn[i] = find_known(j, hash[i]);
    vec_free(&jobs);
    free(hash);
    return ok;
}
