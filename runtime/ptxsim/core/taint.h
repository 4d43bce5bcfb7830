/* taint: codes of instructions that are not rows of lanes.def, for the way of undefined bits
 * through them. */
#ifndef SIM_TAINT_H
#define SIM_TAINT_H

#include "exec.h"

enum {
    SIM_OP_FIRST = 0xFF00,
    SIM_OP_LOP3,
    SIM_OP_LOGIC, /* predicates */
    SIM_OP_PACK,  /* mov of parts to a whole */
    SIM_OP_UNPACK,
    SIM_OP_MOV_PRED,
    SIM_OP_CVT,      /* formats in sub and space */
    SIM_OP_CVT_PAIR, /* any of a, b */
    SIM_OP_CVT_ONE,  /* any of a */
    SIM_OP_ADDRESS,  /* cvta */
    SIM_OP_SPACE,    /* isspacep */
    SIM_OP_RANK,     /* mapa: any of a, b; getctarank: of a */
    SIM_OP_LOW_HALF,
    SIM_OP_JOIN,
    SIM_OP_FRESH, /* the result depends on no register; size bytes */
};
/* The one result of a vote or the like; a lane's undefined predicates. */
void sim_taint_warp_result(struct sim_warp *w, const struct sim_inst *i, uint32_t mask,
                           bool undefined, bool pred);
void sim_taint_set_pred(struct sim_warp *w, uint32_t at, uint32_t mask, uint32_t lanes);

#endif
