#!/bin/sh
# Installs Debian's rabbitmq-server for programs that start a private node, as the tests do. The service of the
# package is not started, now or at the next boot. Asks nothing; does nothing where a server is installed.
set -eu

say() { echo "install-debian.sh: $*" >&2; }

if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    say "this is no Debian: install RabbitMQ as https://www.rabbitmq.com/docs/download says"
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        exec sudo -n "$0" "$@"
    fi
    say "RabbitMQ is missing, and installing it needs root: sudo $0"
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
say "installing rabbitmq-server, about 100 MB"

# Packages ask this program before they start their services; 101 is no.
policy=/usr/sbin/policy-rc.d
kept=$policy.roleml-kept
restore() {
    rm -f "$policy"
    [ ! -e "$kept" ] || mv "$kept" "$policy"
}
trap restore EXIT
trap 'exit 130' INT TERM
[ ! -e "$policy" ] || mv "$policy" "$kept"
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"

apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 rabbitmq-server </dev/null >/dev/null
if command -v systemctl >/dev/null; then
    systemctl disable --quiet rabbitmq-server.service || true
fi
