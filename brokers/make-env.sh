#!/bin/sh
# Writes random passwords for compose.yaml into .env (or FILE), which only you can read, and makes results/, where
# the containers write as you. A file that is there is left as it is.
set -eu

file=${1:-.env}
if [ -e "$file" ]; then
    echo "$file is there already, and left as it is"
    exit 0
fi
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# root's containers are nobody's: the image's own user
uid=$(id -u) gid=$(id -g)
[ "$uid" -ne 0 ] || { uid=10001 gid=10001; }

umask 077
cat > "$file" <<END
ROLEML_BROKER_PASSWORD=$(random)
ROLEML_ERLANG_COOKIE=$(random)
ROLEML_UID=$uid
ROLEML_GID=$gid
END
mkdir -p -m 755 results
[ "$(id -u)" -ne 0 ] || chown "$uid:$gid" results
echo "passwords are in $file; the user is roleml"
