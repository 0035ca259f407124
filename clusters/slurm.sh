#!/usr/bin/env bash
# A Ray cluster inside one SLURM job, and a run of a study on it.
#
#   sbatch clusters/slurm.sh study.yaml [more arguments of `harness run`]
#
# The folder from which it is submitted, the Python environment and $HARNESS_HOME are on a file system that all
# nodes see. When the job's time is over, submit it again: finished steps are not run again, and the others go
# on from their newest checkpoints.
#SBATCH --job-name=harness
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=harness-%j.log
set -euo pipefail

study=${1:?usage: sbatch clusters/slurm.sh STUDY [arguments of harness run]}
shift
export HARNESS_HOME=${HARNESS_HOME:-$SLURM_SUBMIT_DIR/.harness}
export RAY_USAGE_STATS_ENABLED=0
# One port a job, so that two jobs on a node do not meet.
port=$((20000 + SLURM_JOB_ID % 20000))
# Only who knows the token may start anything on the cluster.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN

# Reads to the end: `head` would break the pipe of a long list, which ends the script.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1')
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
gpus=${SLURM_GPUS_ON_NODE:-0}

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
  ray start --head --block --node-ip-address="$address" --port="$port" --include-dashboard=false \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --disable-usage-stats &
ray_head=$!
ray_workers=
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" --overlap \
    bash -c 'until ray start --address="$0" --block --num-cpus="$1" --num-gpus="$2"; do sleep 5; done' \
    "$address:$port" "$SLURM_CPUS_PER_TASK" "$gpus" &
  ray_workers=$!
fi
# shellcheck disable=SC2086 # none or one process
trap 'kill $ray_head $ray_workers 2>/dev/null || true' EXIT
until ray status --address="$address:$port" >/dev/null 2>&1; do sleep 2; done

cd "$SLURM_SUBMIT_DIR"
harness run "$study" --address "$address:$port" "$@" &
driver=$!
# SLURM tells the script two minutes before the end: the run then keeps what is finished.
trap 'kill -TERM $driver 2>/dev/null || true' TERM
wait "$driver" || code=$?
exit "${code:-0}"
