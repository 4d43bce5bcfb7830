/* For tests of the software GPU: CUDA C as PTX, by nvcc where it is found. */
#ifndef NNC_TEST_SIMCUDA_H
#define NNC_TEST_SIMCUDA_H

#include "simgpu.h"
#include <unistd.h>

/* All of the folder's files in one text, the caller's; NULL: no compiler; "": a failed test. */
static inline char *cuda_compile(const char *folder, const char *arch)
{
    char dir[] = "/tmp/nnc-cuda-XXXXXX", command[2048];
    if (system("nvcc --version > /dev/null 2>&1") || !mkdtemp(dir))
        return NULL;
    snprintf(command, sizeof command,
             "cd %s && for f in '%s'/%s/*.cu; do echo \"#include \\\"$f\\\"\"; done > all.cu && "
             "nvcc -ptx -arch=%s -lineinfo all.cu -o all.ptx",
             dir, TEST_SOURCE, folder, arch);
    int status = system(command);
    snprintf(command, sizeof command, "%s/all.ptx", dir);
    FILE *f = status ? NULL : fopen(command, "rb");
    char *text = f ? calloc(1, 4 << 20) : NULL;
    if (text && !fread(text, 1, (4 << 20) - 1, f))
        text[0] = 0;
    if (f)
        fclose(f);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    test(!status && !system(command) && text && *text);
    return text ? text : calloc(1, 1);
}

#endif
