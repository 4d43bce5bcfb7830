/* JSON as far as file headers need it: a reader that walks a text once and a quoter. The room's
 * own. */
#ifndef NN_JSON_H
#define NN_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A place in a text that ends with a 0. Once `bad`, every call fails and moves no further. */
struct nn_json {
    char *p;
    bool bad;
};
/* What stands next: `{` `[` `"`, `0` for a number, `t` for true, false or null; 0 if nothing sound.
 */
char nn_json_next(struct nn_json *j);
/* Steps into an object or array whose opening bracket is `open`. */
bool nn_json_enter(struct nn_json *j, char open);
/* Whether a further member follows, up to `close`, which is passed. `first` is kept by the reader:
 * true before the first call. */
bool nn_json_more(struct nn_json *j, char close, bool *first);
/* A string, decoded in its place; NULL if none stands here. */
char *nn_json_string(struct nn_json *j);
/* An object's key and its colon. */
char *nn_json_key(struct nn_json *j);
/* A number; false if it is not a whole one in [0, 2^53] (it is passed all the same). */
bool nn_json_whole(struct nn_json *j, int64_t *v);
/* Passes any value, nested at most so deep. */
void nn_json_skip(struct nn_json *j, int depth);
/* Whether only blanks are left. */
bool nn_json_end(struct nn_json *j);

/* Writes s in quotes, escaped, without a 0; returns how many bytes: at most 6 for each of s, and 2.
 */
size_t nn_json_quote(char *out, const char *s);

#endif
