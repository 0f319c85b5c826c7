#!/bin/sh
# Installs Debian's chromium for the tests that look at pages. Asks nothing; does nothing where a browser is
# installed.
set -eu

say() { echo "install-browser.sh: $*" >&2; }

for program in chromium chromium-browser google-chrome; do
    if command -v "$program" >/dev/null; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null; then
    say "this is no Debian: install chromium or google-chrome"
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        exec sudo -n "$0" "$@"
    fi
    say "there is no browser, and installing one needs root: sudo $0"
    exit 1
fi

say "installing chromium, about 350 MB"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 chromium </dev/null >/dev/null
