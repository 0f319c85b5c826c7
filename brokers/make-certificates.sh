#!/bin/sh
# Makes a certificate authority, and certificates by it for a broker and for each user, for trying TLS.
# The common name of a user's certificate is the user, as RabbitMQ expects with
# ssl_cert_login_from = common_name. Keep ca.key away from the broker and the actors.
set -eu

usage="usage: $0 FOLDER HOST USER...    (HOST: the name or IP address in the broker URL)"
folder=${1:?$usage}
host=${2:?$usage}
shift 2
days=${DAYS:-365}

umask 077
mkdir -p "$folder"
cd "$folder"

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

issue() { # NAME EXTENSIONS
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" |
        openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" -extfile "$2" -out "$1.pem"
} 2>/dev/null

if [ ! -e ca.key ]; then
    key ca.key
    openssl req -x509 -new -key ca.key -days "$days" -subj "/CN=RoleML test authority" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out ca.pem
fi

case $host in
    *[!0-9.:]*) name=DNS:$host ;;
    *) name=IP:$host ;;
esac
trap 'rm -f extensions' EXIT
printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$name" > extensions
issue server extensions
printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n' > extensions
for user in "$@"; do
    issue "$user" extensions
done
