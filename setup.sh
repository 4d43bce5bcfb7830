#!/bin/sh
# Sets up, builds and shows nnc on Debian 12/13 or Ubuntu 24.04.
#   ./setup.sh demo     installs what is needed, builds, trains a digit classifier
#   ./setup.sh test     the same set-up, then all tests
#   ./setup.sh build    only builds
# LLVM_VERSION=22 ./setup.sh … asks for another LLVM (19 to 22) where several are packaged.
set -eu
cd "$(dirname "$0")"

have() { command -v "$1" >/dev/null 2>&1; }
header() { printf '#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1; }
llvm() {
    for v in ${LLVM_VERSION:-19 20 21 22}; do
        if have "llvm-config-$v" && [ -e "$("llvm-config-$v" --includedir)/llvm-c/Core.h" ]; then
            echo "llvm-config-$v"
            return
        fi
    done
}
complete() {
    have cc && have cmake && have ninja && have flex && have bison && header zlib.h &&
        [ -n "$(llvm)" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        echo "setup.sh: run as root, or install sudo: packages are missing" >&2
        exit 1
    fi
}

install_packages() {
    if ! have apt-get; then
        echo "setup.sh: no apt-get here; install cc, cmake >= 3.25, ninja, flex, bison 3.8, zlib and LLVM 19 to 22 by hand, then run it again" >&2
        exit 1
    fi
    echo "setup: installing packages"
    as_root apt-get update -q
    for v in ${LLVM_VERSION:-19 20 21 22}; do
        if apt-cache show "llvm-$v-dev" >/dev/null 2>&1; then
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
                gcc libc6-dev cmake ninja-build flex bison zlib1g-dev "llvm-$v-dev"
            return
        fi
    done
    echo "setup.sh: none of the packages llvm-19-dev to llvm-22-dev is known to apt here" >&2
    exit 1
}

build() {
    complete || install_packages
    complete || { echo "setup.sh: something is still missing after the installation" >&2; exit 1; }
    cmake --preset default -DLLVM_CONFIG="$(command -v "$(llvm)")" >build.log 2>&1 &&
        cmake --build build >>build.log 2>&1 || { tail -n 40 build.log >&2; exit 1; }
    rm -f build.log
}

case ${1:-} in
demo)
    build
    echo "setup: training examples/mnist/lenet.nn on the digits in examples/mnist/data"
    exec build/nnc train examples/mnist/lenet.nn --data examples/mnist/data --out build/lenet
    ;;
test)
    build
    exec ctest --test-dir build --output-on-failure -j "$(nproc)" --timeout 300
    ;;
build) build ;;
*)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
