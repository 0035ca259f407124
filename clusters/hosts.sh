#!/usr/bin/env bash
# One Ray cluster over many hosts, by ssh: the first is the head.
#
#   clusters/hosts.sh start HEAD HOST ...
#   clusters/hosts.sh stop HEAD HOST ...
#
# All hosts see the same folders, and have the Python environment of this one first on their PATH. Ray listens
# on the address that a host's name stands for; the job server on the head's loopback alone, so that runs are
# submitted through a tunnel:  ssh -L 8265:127.0.0.1:8265 HEAD
set -euo pipefail

verb=${1:?usage: clusters/hosts.sh start|stop HEAD HOST ...}
head=${2:?usage: clusters/hosts.sh start|stop HEAD HOST ...}
shift 2
port=${RAY_PORT:-6379}
path="PATH=$(dirname "$(command -v ray)"):\$PATH RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token"

case $verb in
  start)
    address=$(getent ahostsv4 "$head" | awk 'NR == 1 {print $1}')
    ssh "$head" "$path ray start --head --node-ip-address=$address --port=$port \
      --include-dashboard=true --dashboard-host=127.0.0.1 --disable-usage-stats"
    # The token that the head has made lets the others join.
    token=$(ssh "$head" cat .ray/auth_token)
    for host in "$@"; do
      ssh "$host" "umask 077; mkdir -p .ray; cat > .ray/auth_token" <<<"$token"
      ssh "$host" "$path ray start --address=$address:$port"
    done
    echo "harness run STUDY --address $address:$port"
    ;;
  stop)
    for host in "$@" "$head"; do
      ssh "$host" "$path ray stop" || true
    done
    ;;
  *)
    echo "usage: clusters/hosts.sh start|stop HEAD HOST ..." >&2
    exit 2
    ;;
esac
