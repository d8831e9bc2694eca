#!/bin/sh
# npm start [-- "prompt"]: builds the command line if it must, and tells a story with the default
# model, on nothing but what native/setup.sh installs.
set -eu
cd "$(dirname "$0")/.."
sh native/setup.sh native

# Progress goes to stderr: stdout carries the story alone.
build=build/native
if [ ! -f $build/build.ninja ]; then
  echo "Building the command line" >&2
  mkdir -p $build
  cmake --preset native -DHB_TESTS=OFF >$build/configure.log 2>&1 || {
    cat $build/configure.log >&2
    exit 1
  }
fi
cmake --build $build --target halfbyte-cli >$build/build.log 2>&1 || {
  cat $build/build.log >&2
  exit 1
}

[ $# -gt 0 ] || set -- "Once upon a time"
printf '%s' "$*" # the command line writes only what follows the prompt
exec $build/halfbyte run -m examples/models/tales-5.8m-q4_0.gguf -p "$*" -n 256 --temp 0.8
