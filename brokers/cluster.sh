#!/bin/sh
# Three nodes of RabbitMQ on this machine that form a cluster, with the files beside this one.
#
#   brokers/cluster.sh up [OPTION...]      options of `roleml broker up`, such as --port 5680
#   brokers/cluster.sh down [--delete]     stops them by their process ids
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${ROLEML_CLUSTER_FOLDER:-${XDG_DATA_HOME:-$HOME/.local/share}/roleml/cluster}
action=${1:-}
[ $# -eq 0 ] || shift
case $action in
    up)
        exec roleml broker up --nodes 3 --management --folder "$folder" \
            --config "$here/rabbitmq.conf" --definitions "$here/definitions.json" "$@"
        ;;
    down) exec roleml broker down --folder "$folder" "$@" ;;
    *)
        echo "usage: $0 up [OPTION of 'roleml broker up'...] | down [--delete]" >&2
        exit 2
        ;;
esac
