#!/bin/sh
# Installs what building and testing need and this machine lacks:
#
#   sh native/setup.sh GROUP...
#
# A group is a row's first word in the table below, npm (the packages of package-lock.json) or
# package (those of tests/package). On Debian as root missing packages are installed by name;
# elsewhere this prints what to install and ends with 1. When nothing is missing it only looks, in a
# few milliseconds.
set -eu
cd "$(dirname "$0")/.."

# group, Debian package, and what shows that it is there: a command, or a file.
table='
native cmake cmake
native ninja-build ninja
native clang-19 clang-19
native libc6-dev /usr/include/stdio.h
unit libcmocka-dev /usr/include/cmocka.h
unit libcjson-dev /usr/include/cjson/cJSON.h
unit liblapacke-dev /usr/include/lapacke.h
sanitizers libclang-rt-19-dev /usr/lib/llvm-19/lib/clang/19/lib/linux
check clang-format-19 clang-format-19
gcc gcc gcc
install g++ g++
install pkg-config pkg-config
wasm llvm-19 llvm-ar-19
wasm lld-19 wasm-ld-19
wasm wasi-libc /usr/include/wasm32-wasi/stdio.h
wasm libclang-rt-19-dev-wasm32 /usr/lib/llvm-19/lib/clang/19/lib/wasi
aarch64 gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc
aarch64 libc6-dev-arm64-cross /usr/aarch64-linux-gnu/include/stdio.h
aarch64 qemu-user qemu-aarch64
emscripten emscripten emcc
browser chromium chromium
browser firefox-esr firefox-esr
webkit webkit2gtk-driver WebKitWebDriver
webkit xvfb Xvfb
'

is_there() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

wanted=" $* "
missing=
while read -r group package probe; do
  # A WASI SDK brings all of that group.
  [ "$group" != wasm ] || [ -z "${WASI_SDK_PATH:-}" ] || continue
  case $wanted in
    *" $group "*) [ -z "$group" ] || is_there "$probe" || missing="$missing $package" ;;
  esac
done <<END
$table
END

if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing:$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # The packages are words of the list.
    # shellcheck disable=SC2086
    if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      echo "The installation failed; its full log is $log" >&2
      exit 1
    fi
    rm -f "$log"
  else
    {
      echo "This needs programs that are not installed. On Debian 12 or later, run:"
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing"
      echo "On another system, install what these packages hold, then try again."
    } >&2
    exit 1
  fi
fi

# npm writes node_modules/.package-lock.json last; the Node of the scripts comes as a package.
case $wanted in
  *" npm "*)
    if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
      echo "Installing the npm packages" >&2
      npm ci --loglevel=error >&2
      touch node_modules/.package-lock.json
    fi
    ;;
esac
case $wanted in
  *" package "*)
    lock=tests/package/package-lock.json
    if [ ! -x tests/package/node_modules/.bin/vite ] || [ $lock -nt tests/package/node_modules/.package-lock.json ]; then
      echo "Installing the npm packages of tests/package" >&2
      npm ci --prefix tests/package --loglevel=error >&2
      touch tests/package/node_modules/.package-lock.json
    fi
    ;;
esac
