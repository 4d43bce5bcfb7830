/* The words for each status. */
#include "nnrt.h"

const char *nn_status_text(enum nn_status s)
{
    switch (s) {
    case NN_OK: return "done";
    case NN_REFUSED: return "the input was refused";
    case NN_USAGE: return "wrong arguments";
    case NN_MACHINE: return "the machine failed";
    case NN_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}
