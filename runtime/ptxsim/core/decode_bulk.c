/* decode_bulk: mbarrier, bulk copies, wgmma. */
#include "decode.h"
#include "tensor.h"

bool decode_bulk(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_cp_mbarrier(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_mbarrier(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
bool decode_wgmma(struct decoder *d, struct ins *x) { return dec_unsupported(d, x->name); }
