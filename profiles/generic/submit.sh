#!/bin/sh
# Submits one job. Arguments: rule, threads, memory in MB, disk in MB, runtime in minutes, GPUs, and
# last the script to run. Prints the job's number, and nothing else.
set -eu
rule=$1 threads=$2 memory=$3 disk=$4 minutes=$5 gpus=$6 script=$7

# The words of PBS; `disk` is the one thing that it has no common word for.
exec qsub -N "rootloom-$rule" -j oe -o /dev/null \
  -l "select=1:ncpus=$threads:mem=${memory}mb:ngpus=$gpus" -l "walltime=$((minutes * 60))" "$script"
