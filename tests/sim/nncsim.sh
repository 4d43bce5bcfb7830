# nncsim run, with every kind of argument: npy files of any order of bytes and indices, numbers of all types,
# several outputs, dynamic shared memory to the chip's limit, JSON; exit 1 and a report on a fault, 2 for wrong words.
set -e
cat >"$TMP/copy.ptx" <<'END'
.version 8.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 s[];
.visible .entry copy(.param .u64 x, .param .u64 y, .param .u64 z, .param .u32 n)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %d<8>;
    ld.param.u64 %d1, [x];
    ld.param.u64 %d2, [y];
    ld.param.u64 %d3, [z];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %tid.x;
    setp.ge.u32 %p1, %r2, %r1;
    @%p1 exit;
    mul.wide.u32 %d4, %r2, 4;
    add.s64 %d1, %d1, %d4;
    add.s64 %d2, %d2, %d4;
    add.s64 %d3, %d3, %d4;
    ld.global.u32 %r3, [%d1];
    mov.u32 %r4, %dynamic_smem_size;
    st.global.u32 [%d2], %r3;
    st.global.u32 [%d3], %r4;
    ret;
}
.visible .entry take(.param .u8 a, .param .s8 b, .param .u16 c, .param .b16 d, .param .s32 e, .param .f32 f, .param .f64 g, .param .s64 h, .param .u64 out)
{
    .reg .b16 %h<2>;
    .reg .b32 %r<4>;
    .reg .f32 %f<4>;
    .reg .f64 %g<8>;
    .reg .b64 %d<4>;
    ld.param.u8 %r1, [a];
    cvt.rn.f64.u32 %g1, %r1;
    ld.param.s8 %r1, [b];
    cvt.rn.f64.s32 %g2, %r1;
    ld.param.u16 %r1, [c];
    cvt.rn.f64.u32 %g3, %r1;
    ld.param.b16 %h1, [d];
    cvt.f32.bf16 %f1, %h1;
    cvt.f64.f32 %g4, %f1;
    ld.param.s32 %r1, [e];
    cvt.rn.f64.s32 %g5, %r1;
    ld.param.f32 %f2, [f];
    cvt.f64.f32 %g6, %f2;
    ld.param.f64 %g7, [g];
    ld.param.s64 %d1, [h];
    ld.param.u64 %d2, [out];
    st.global.v2.f64 [%d2], {%g1, %g2};
    st.global.v2.f64 [%d2+16], {%g3, %g4};
    st.global.v2.f64 [%d2+32], {%g5, %g6};
    cvt.rn.f64.s64 %g1, %d1;
    st.global.v2.f64 [%d2+48], {%g7, %g1};
    ret;
}
END
npy() { # FILE DESCR FORTRAN SHAPE BYTES
    printf "\223NUMPY\001\000v\000%-117s\n" "{'descr': '$2', 'fortran_order': $3, 'shape': ($4), }" >"$1"
    printf "$5" >>"$1"
}
same() { # WANTED ACTUAL
    [ "$1" = "$2" ] || { echo "wanted $1"; echo "got    $2"; exit 1; }
}
cd "$TMP"
npy big.npy '>i4' True '2, 3' '\0\0\0\001\0\0\0\004\0\0\0\002\0\0\0\005\0\0\0\003\377\377\377\372'
same "1: 1 2 3 4 5 -6" "$("$SIM" run copy.ptx --entry copy --block 6 --args @big.npy,i32:6,u32:6,i32=6 --print 1)"
same "0: 1 2 3 4 5 -6" "$("$SIM" run copy.ptx --entry copy --block 6 --args @big.npy,i32:6,u32:6,i32=6 --print 0)"
"$SIM" run copy.ptx --entry copy --block 6 --shared 166912 --chip sm_80 --json \
    --args @big.npy,i32:6,u32:6,i32=6 --out 0=a.npy --out 1=b.npy --out 2=c.npy >json
grep -q '^{"seconds": .*"global_store_bytes": 48,.*}$' json
same "0: 1 2 3 4 5 -6" "$("$SIM" run copy.ptx --entry copy --block 6 --args @b.npy,i32:6,u32:6,i32=6 --print 0)"
same "0: 166912 166912 166912 166912 166912 166912" "$("$SIM" run copy.ptx --entry copy --block 6 --args @c.npy,i32:6,u32:6,i32=6 --print 0)"
grep -a -q "'descr': '<i4', 'fortran_order': False, 'shape': (2, 3, )" a.npy
npy half.npy '<f2' False '2, ' '\000\074\000\300'
same "0: 1 -2" "$("$SIM" run copy.ptx --entry copy --args @half.npy,i32:1,u32:1,u32=1 --print 0)"
npy pair.npy '>c8' False '1, ' '\077\200\0\0\100\0\0\0'
same "1: 1 2" "$("$SIM" run copy.ptx --entry copy --block 2 --args @pair.npy,f32:2,u32:2,u32=2 --print 1)"
same "8: 200 -100 65535 1.5 -7 0.25 -2.5 -9007199254740992" \
    "$("$SIM" run copy.ptx --entry take --args u8=200,i8=-100,u16=65535,bf16=1.5,i32=-7,f32=0.25,f64=-2.5,i64=-9007199254740992,f64:8 --print 8)"
wrong() { # STATUS TEXT ARGS
    want=$1 text=$2 status=0
    shift 2
    "$SIM" run copy.ptx "$@" >out 2>err || status=$?
    same "$want" "$status"
    grep -q -e "$text" err || { cat err; exit 1; }
}
wrong 1 'copy: out of bounds: load of 4 bytes' --entry copy --block 7 --args i32:6,i32:7,u32:7,u32=7
wrong 1 'ptx line 21, block (0,0,0), thread (6,0,0)' --entry copy --block 7 --args i32:6,i32:7,u32:7,u32=7
npy text.npy '<U4' False '1, ' 'abcd'
wrong 2 'no numbers of 1, 2, 4 or 8 bytes' --entry copy --args @text.npy,i32:1,i32:1,u32=1
npy short.npy '<i4' False '9, ' '1234'
wrong 2 'shorter than its header says' --entry copy --args @short.npy,i32:1,i32:1,u32=1
wrong 2 'no.npy: cannot be opened' --entry copy --args @no.npy,i32:1,i32:1,u32=1
header() { # FILE VERSION HEADER, of four bytes of data
    printf "\\223NUMPY\\00$2\\000\\$(printf %o $((${#3} % 256)))\\$(printf %o $((${#3} / 256 % 256)))" >"$1"
    [ "$2" = 1 ] || printf "\\$(printf %o $((${#3} / 65536)))\\000" >>"$1"
    printf '%s\0\0\200\077' "$3" >>"$1"
}
refused() { # TEXT VERSION HEADER
    header bad.npy "$2" "$3"
    wrong 2 "bad.npy: $1" --entry copy --args @bad.npy,i32:1,i32:1,u32=1
}
header long.npy 2 "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), $(printf %70000s)}"
same "0: 1" "$("$SIM" run copy.ptx --entry copy --args @long.npy,i32:1,u32:1,u32=1 --print 0)"
header three.npy 3 '{"shape": (), "fortran_order": True, "descr": "<f4"}'
same "0: 1" "$("$SIM" run copy.ptx --entry copy --args @three.npy,i32:1,u32:1,u32=1 --print 0)"
refused 'not an npy file' 4 "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
refused 'not an npy file' 2 "$(printf %1048577s)"
refused 'its header says one thing twice' 1 "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}"
refused 'its header has more than' 1 "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}"
refused 'no header of an array' 1 "{'descr': '<f4', 'shape': (1,), }"
refused 'no header of an array' 1 "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } and more"
refused 'fortran_order is neither' 1 "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }"
for shape in 1 '(-1,)' '(1L,)' '(1 1)' '(1,' '(4294967296, 4294967296)' '(1, 1, 1, 1, 1, 1, 1, 1, 1)'; do
    refused 'a shape that is not read' 1 "{'descr': '<f4', 'fortran_order': False, 'shape': $shape, }"
done
refused 'an array without elements' 1 "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9), }"
refused 'the elements are no numbers' 1 "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"
wrong 2 'has 8 bytes, the argument 4' --entry copy --args i32=1,i32:1,i32:1,u32=1
wrong 2 'does not fit u8' --entry take --args u8=256
wrong 2 '-1 does not fit u8' --entry take --args u8=-1
wrong 2 '128 does not fit i8' --entry take --args u8=1,i8=128
wrong 2 '9223372036854775808 does not fit i64' --entry take --args u8=1,i64=9223372036854775808
wrong 2 'parameter 3 is no buffer' --entry copy --args i32:1,i32:1,i32:1,u32=1 --out 3=x.npy
wrong 2 'parameter 9 is no buffer' --entry copy --args i32:1,i32:1,i32:1,u32=1 --print 9
wrong 2 'cannot write no/x.npy: ' --entry copy --block 7 --args i32:6,i32:7,u32:7,u32=7 --out 0=no/x.npy
wrong 1 'out of bounds' --entry copy --block 7 --args i32:6,i32:7,u32:7,u32=7 --out 0=unwritten.npy
[ ! -e unwritten.npy ]
wrong 2 'sizes of the launch.*bytes of shared memory; a block has 166912' --entry copy --shared 166913 --chip sm_80 --args i32:1,i32:1,i32:1,u32=1
wrong 2 'a grid of 3,1,1 in clusters of 2,1,1' --entry copy --grid 3 --cluster 2 --args i32:1,i32:1,i32:1,u32=1
wrong 2 '^nncsim: unknown option --entrance$' --entrance copy
wrong 2 '^nncsim run --help tells the options$' --entrance copy
same 2 "$(wc -l <err)"
wrong 2 'unknown chip sm_1; nncsim chips lists them' --entry copy --chip sm_1
same "$("$SIM" --help)" "$("$SIM" run --help)"
wrong 2 'no kernel nowhere' --entry nowhere --args i32:1,i32:1,i32:1,u32=1
