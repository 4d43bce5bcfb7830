/* Files of tensors: what numpy, MNIST and PyTorch write is read back, and written; everything
 * malformed is refused with a message, by hand-picked cases and by changing every byte. */
#include "data/data.h"
#include "common.h"
#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char dir[] = "/tmp/nnc-data-XXXXXX";
static struct nn_message m;

static const char *path_of(const char *name)
{
    static char p[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(p[next], sizeof p[next], "%s/%s", dir, name);
    return p[next];
}

static const char *put(const char *name, const void *data, size_t n)
{
    const char *p = path_of(name);
    test(file_write_atomic(p, data, n) == 0);
    return p;
}

static const char *put_gzip(const char *name, const void *data, size_t n)
{
    const char *p = path_of(name);
    gzFile f = gzopen(p, "wb");
    test(f && gzwrite(f, data, (unsigned)n) == (int)n && gzclose(f) == Z_OK);
    return p;
}

static int says(const char *part)
{
    if (strstr(m.text, part))
        return 1;
    printf("the message is: %s\n", m.text);
    return 0;
}

/* Reads the text with each byte changed and each length: no crash; returns how many were refused.
 */
typedef enum nn_status reader(const char *path);
static int fuzz(reader *read, const unsigned char *text, size_t n)
{
    static const unsigned char values[] = {0, 1, ' ', '9', '{', '"', 0x7f, 0xff};
    unsigned char *copy = xmalloc(n);
    int refused = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t v = 0; v < COUNT(values); v++) {
            memcpy(copy, text, n);
            copy[i] = values[v];
            FILE *f = fopen(path_of("fuzz"), "wb");
            fwrite(copy, 1, n, f);
            fclose(f);
            refused += read(path_of("fuzz")) == NN_REFUSED;
        }
    for (size_t i = 0; i < n; i++) {
        FILE *f = fopen(path_of("fuzz"), "wb");
        fwrite(text, 1, i, f);
        fclose(f);
        test(read(path_of("fuzz")) == NN_REFUSED);
    }
    free(copy);
    return refused;
}

/* ---- idx ---- */

static enum nn_status read_idx(const char *path)
{
    struct nn_array a;
    enum nn_status s = nn_idx_read(path, NULL, &a, &m);
    nn_array_free(&a);
    return s;
}

static void idx(void)
{
    static const unsigned char u8[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255};
    static const unsigned char i16[] = {0, 0, 11, 1, 0, 0, 0, 2, 0xff, 0xfe, 1, 0};
    static const unsigned char f32[] = {0, 0, 13, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0};
    static const unsigned char bomb[] = {0, 0, 8,   3,   255, 255, 255, 255,
                                         0, 0, 255, 255, 0,   0,   1,   0};
    static const int64_t three[] = {3}, four[] = {4};
    struct nn_array a;
    for (int gz = 0; gz < 2; gz++) {
        const char *p = gz ? put_gzip("a", u8, sizeof u8) : put("a", u8, sizeof u8);
        struct nn_schema s = {NN_i32, 1, three, "x"};
        test(nn_idx_read(p, &s, &a, &m) == NN_OK);
        test(a.dtype == NN_u8 && a.rank == 2 && a.dim[0] == 2 && a.dim[1] == 3 && a.bytes == 6);
        test(!memcmp(a.data, u8 + 12, 6));
        nn_array_free(&a);
        s.dim = four;
        test(nn_idx_read(p, &s, &a, &m) == NN_REFUSED);
        test(says("/a holds u8[2, 3], but x is declared i32[4] a sample"));
        s = (struct nn_schema){NN_f32, 1, three, "x"};
        test(nn_idx_read(p, &s, &a, &m) == NN_REFUSED && says("u8 does not widen to f32"));
        p = gz ? put_gzip("a", u8, sizeof u8 - 1) : put("a", u8, sizeof u8 - 1);
        test(read_idx(p) == NN_REFUSED && says("truncated"));
        p = gz ? put_gzip("a", bomb, sizeof bomb) : put("a", bomb, sizeof bomb);
        test(read_idx(p) == NN_REFUSED && says("truncated: it claims"));
        unsigned char more[sizeof u8 + 1] = {0};
        memcpy(more, u8, sizeof u8);
        p = gz ? put_gzip("a", more, sizeof more) : put("a", more, sizeof more);
        test(read_idx(p) == NN_REFUSED && says("beyond what its header says"));
    }
    test(nn_idx_read(put("b", i16, sizeof i16), NULL, &a, &m) == NN_OK && a.dtype == NN_i32);
    test(((int32_t *)a.data)[0] == -2 && ((int32_t *)a.data)[1] == 256);
    nn_array_free(&a);
    test(nn_idx_read(put("c", f32, sizeof f32), NULL, &a, &m) == NN_OK && a.dtype == NN_f32);
    test(((float *)a.data)[0] == 1.5f);
    nn_array_free(&a);
    test(read_idx(path_of("none")) == NN_REFUSED && says("/none: No such file or directory"));
    test(read_idx(dir) == NN_REFUSED && says("is not a regular file"));
    test(fuzz(read_idx, u8, sizeof u8) > 50);

    size_t n;
    put_gzip("d", u8, sizeof u8);
    char *gz = file_read(path_of("d"), 1 << 20, &n);
    test(fuzz(read_idx, (const unsigned char *)gz, n) > 50);
    free(gz);
}

/* ---- npy ---- */

static enum nn_status read_npy(const char *path)
{
    struct nn_array a;
    enum nn_status s = nn_npy_read(path, NULL, &a, &m);
    nn_array_free(&a);
    return s;
}

static const char *npy_file(const char *header, const void *data, size_t n)
{
    char text[512] = "\x93NUMPY\x01";
    size_t h = strlen(header);
    text[8] = (char)h;
    memcpy(text + 10, header, h);
    memcpy(text + 10 + h, data, n);
    return put("n", text, 10 + h + n);
}

static void npy_round_trip(void)
{
    static const int64_t dims[3][3] = {{2, 1, 3}, {6}, {0, 4}};
    unsigned char data[48];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i % 2);
    for (int t = 0; t < NN_DTYPE_COUNT; t++)
        for (uint32_t rank = 0; rank <= 3; rank++) {
            const int64_t *dim = dims[rank == 1 ? 1 : rank == 2 ? 2 : 0];
            struct nn_array a;
            test(nn_npy_write(path_of("r"), (enum nn_dtype)t, rank, dim, data, &m) == NN_OK);
            test(nn_npy_read(path_of("r"), NULL, &a, &m) == NN_OK);
            test(a.dtype == (enum nn_dtype)t && a.rank == rank);
            for (uint32_t i = 0; i < rank; i++)
                test(a.dim[i] == dim[i]);
            size_t n = rank == 0 ? 1 : rank == 2 ? 0 : 6;
            test(a.bytes == n * nn_dtype_size(a.dtype) && !memcmp(a.data, data, a.bytes));
            nn_array_free(&a);
        }
    test(nn_npy_write(path_of("none/x.npy"), NN_f32, 0, NULL, data, &m) == NN_MACHINE);
    test(says("cannot write "));
}

static void npy(void)
{
    struct nn_array a;
    npy_round_trip();
    const char *p = npy_file("{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }\n",
                             "\0\0\1\2\xff\xff\xff\xfe", 8);
    test(nn_npy_read(p, NULL, &a, &m) == NN_OK && a.dtype == NN_i32);
    test(((int32_t *)a.data)[0] == 258 && ((int32_t *)a.data)[1] == -2);
    nn_array_free(&a);
    p = npy_file("{'shape': (2,), 'descr': '<u2', 'fortran_order': True}", "\1\0\xff\xff", 4);
    test(nn_npy_read(p, NULL, &a, &m) == NN_OK && a.dtype == NN_i32);
    test(((int32_t *)a.data)[0] == 1 && ((int32_t *)a.data)[1] == 65535);
    nn_array_free(&a);
    static const struct {
        const char *header, *message;
    } wrong[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "Fortran order"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "type '<c8' is not"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "simple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "tuple of numbers"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", "tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999, 9999), }",
         "impossible"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", "too long"},
        {"{'descr': '<f4', 'fortran_order': False, }", "lacks"},
        {"{'descr': '<f4', 'descr': '<f4'}", "a key too many"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x", "goes on"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "8 axes"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        test(read_npy(npy_file(wrong[i].header, "\0\0\0\0", 4)) == NN_REFUSED &&
             says(wrong[i].message));
    size_t n;
    char *text = file_read(npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }",
                                    "\0\0\0\0\0\0\0\0", 8),
                           1 << 20, &n);
    test(fuzz(read_npy, (const unsigned char *)text, n) > 100);
    free(text);
}

/* ---- safetensors ---- */

static enum nn_status read_tensors(const char *path)
{
    struct nn_tensors *t;
    enum nn_status s = nn_tensors_open(&t, path, &m);
    for (uint32_t i = 0; !s && i < nn_tensors_count(t); i++) {
        const struct nn_tensor *x = nn_tensors_at(t, i);
        void *p = xmalloc(x->bytes + 1);
        test(nn_tensors_read(t, x, p, &m) == NN_OK);
        free(p);
    }
    nn_tensors_close(t);
    return s;
}

static const char *tensors_file(const char *header, size_t data)
{
    char text[1024] = {0};
    text[0] = (char)(strlen(header) & 255);
    text[1] = (char)(strlen(header) >> 8);
    strcpy(text + 8, header);
    return put("t", text, 8 + strlen(header) + data);
}

/* Messages are UTF-8 whatever a name is. */
static void messages(void)
{
    static const char *const pair[][2] = {
        {"\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n", NULL}, /* as it is */
        {"a\x80z", "a?z"},
        {"\xc3", "?"},
        {"\xc3(", "?("},
        {"\xe2\x82", "??"},
        {"\xc0\xaf", "??"},
        {"\xed\xa0\x80", "???"},
        {"\xf4\x90\x80\x80", "????"},
        {"\xff\xfe", "??"},
        {"\033[2J\177", "?[2J?"},
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        test(nn_fail(&m, NN_REFUSED, "%s", pair[i][0]) == NN_REFUSED);
        test_text(m.text, pair[i][1] ? pair[i][1] : pair[i][0]);
    }
}

static void tensors_refused(void)
{
#define X "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
    test(read_tensors(tensors_file("{" X "}", 4)) == NN_OK);
    test(read_tensors(tensors_file("{\"__metadata__\":{\"a\":\"b\"}," X "}  ", 4)) == NN_OK);
    static const char *const not_a_hash[] = {"\"0123456789abcde\"",
                                             "\"0123456789abcdef0\"",
                                             "\"0123456789abcdeg\"",
                                             "\"0123456789ABCDEF\"",
                                             "\"\"",
                                             "7",
                                             "null",
                                             "{\"a\":\"b\"}"};
    for (size_t i = 0; i < NN_COUNT(not_a_hash); i++) {
        char head[200];
        snprintf(head, sizeof head, "{\"__metadata__\":{\"nnc.hash\":%s}," X "}", not_a_hash[i]);
        test(read_tensors(tensors_file(head, 4)) == NN_REFUSED &&
             strstr(m.text, "16 hexadecimal digits"));
    }
    test(read_tensors(tensors_file("{}", 0)) == NN_OK);
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } wrong[] = {
        {"{" X "}", 3, "truncated"},
        {"{" X "}", 5, "too long"},
        {"{" X "," X "}", 4, "overlaps another"},
        {"{" X "} x", 4, "not JSON"},
        {"[1]", 4, "not JSON"},
        {"{\"x\":1}", 4, "dtype is not supported"},
        {"{\"x\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "does not fit"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "its shape"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "its shape"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", 4, "its shape"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],"
         "\"data_offsets\":[0,4]}}",
         4, "does not fit"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "leaves a gap"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, "twice"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++)
        test(read_tensors(tensors_file(wrong[i].header, wrong[i].data)) == NN_REFUSED &&
             says(wrong[i].message));
    char deep[900];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    memcpy(deep, "{\"x\":", 5);
    test(read_tensors(tensors_file(deep, 4)) == NN_REFUSED);
    test(read_tensors(put("t", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)) == NN_REFUSED);
    size_t n;
    char *text = file_read(tensors_file("{" X "}", 4), 1 << 20, &n);
    test(fuzz(read_tensors, (const unsigned char *)text, n) > 100);
    free(text);
}

static void tensors(void)
{
    float w[6] = {1, 2, 3, 4, 5, 6};
    int64_t step = 77, dim[] = {2, 3};
    struct nn_save_item item[] = {{"fc.weight", NN_f32, 2, dim, w},
                                  {"a \"quoted\" name", NN_i64, 0, NULL, &step}};
    struct nn_saver *s;
    test(nn_saver_open(&s, path_of("s"), "pt", item, 2, &m) == NN_OK);
    for (int i = 0; i < 2; i++) {
        struct nn_tensors *t;
        float back[6];
        w[0] = (float)i;
        test(nn_saver_write(s, &m) == NN_OK);
        test(access(path_of("s.tmp"), F_OK) != 0);
        test(nn_tensors_open(&t, path_of("s"), &m) == NN_OK && nn_tensors_count(t) == 2);
        const struct nn_tensor *x = nn_tensors_find(t, "fc.weight");
        test(x && x->rank == 2 && x->dim[1] == 3 && x->dtype == NN_f32);
        test(nn_tensors_find(t, "a \"quoted\" name") && !nn_tensors_find(t, "fc"));
        test(nn_tensors_read(t, x, back, &m) == NN_OK && !memcmp(back, w, sizeof w));
        nn_tensors_close(t);
    }
    nn_saver_close(s);
    test(nn_saver_open(&s, "/dev/full/x", "pt", item, 2, &m) == NN_OK);
    test(nn_saver_write(s, &m) == NN_MACHINE && says("cannot write /dev/full/x"));
    nn_saver_close(s);
    tensors_refused();
}

/* ---- numbers ---- */

static void halves(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = nn_from_f16((uint16_t)h), b = nn_from_bf16((uint16_t)h);
        test_checks += 2;
        if (!isnan(f) && nn_to_f16(f) != h)
            test(!"f16 round trip");
        if (!isnan(b) && nn_to_bf16(b) != h)
            test(!"bf16 round trip");
    }
    test(nn_from_f16(0x3c00) == 1 && nn_from_f16(0x7bff) == 65504 && nn_from_f16(1) == 0x1p-24f);
    test(nn_to_f16(65519.99f) == 0x7bff && nn_to_f16(65520) == 0x7c00 &&
         nn_to_f16(1e10f) == 0x7c00);
    test(nn_to_f16(1 + 0x1p-11f) == 0x3c00 && nn_to_f16(1 + 3 * 0x1p-11f) == 0x3c02);
    test(nn_to_f16(0x1p-25f) == 0 && nn_to_f16(3 * 0x1p-25f) == 2 && nn_to_f16(-0.0f) == 0x8000);
    test(nn_to_bf16(1 + 0x1p-8f) == 0x3f80 && nn_to_bf16(1 + 3 * 0x1p-8f) == 0x3f82);
    test(isnan(nn_from_f16(nn_to_f16(NAN))) && isnan(nn_from_bf16(nn_to_bf16(NAN))));
}

int main(void)
{
    test(mkdtemp(dir) != NULL);
    idx();
    npy();
    messages();
    tensors();
    halves();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    test(system(command) == 0);
    return test_done();
}
