/* What a unit test needs: test(condition), test_text(got, wanted), test_near(got, wanted, bound),
 * and `return test_done();` at the end of main. A failure is printed with its place; the rest still
 * runs. */
#ifndef NNC_TEST_H
#define NNC_TEST_H

#include "base/base.h"
#include <math.h>

static int test_failures, test_checks;

static inline void test_at(const char *file, int line, int ok, const char *what)
{
    test_checks++;
    if (!ok) {
        test_failures++;
        printf("%s:%d: failed: %s\n", file, line, what);
    }
}
#define test(cond) test_at(__FILE__, __LINE__, (cond) ? 1 : 0, #cond)

static inline void test_text_at(const char *file, int line, const char *got, const char *wanted)
{
    int ok = got && !strcmp(got, wanted);
    test_at(file, line, ok, "texts are equal");
    if (!ok)
        printf("got:\n%s\nwanted:\n%s\n", got ? got : "(null)", wanted);
}
#define test_text(got, wanted) test_text_at(__FILE__, __LINE__, got, wanted)

static inline void test_near_at(const char *file, int line, double got, double wanted, double bound)
{
    int ok = fabs(got - wanted) <= bound;
    test_at(file, line, ok, "numbers are near");
    if (!ok)
        printf("got %.17g, wanted %.17g, bound %g\n", got, wanted, bound);
}
#define test_near(got, wanted, bound) test_near_at(__FILE__, __LINE__, got, wanted, bound)

static inline int test_done(void)
{
    if (!test_checks)
        printf("no check ran\n");
    return test_failures || !test_checks;
}

#endif
