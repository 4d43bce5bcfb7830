/* decode_tensor: mma, ldmatrix, asynchronous copies and the like. */
#include "decode.h"
#include "exec.h"

bool decode_cp(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_mma(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_ldmatrix(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_stmatrix(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_movmatrix(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_wmma(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_mbarrier(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_wgmma(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_mapa(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_tensormap(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
