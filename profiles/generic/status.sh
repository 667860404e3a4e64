#!/bin/sh
# Prints "running" (also while a job waits), "success" or "failed" for the job of that number.
set -u

# The words of PBS: the state is a letter, and a job that ended has an exit status.
said=$(qstat -x -f "$1" 2>/dev/null) || { echo running; exit; } # no answer says nothing
case $said in
  *"Exit_status = 0"*) echo success ;;
  *"Exit_status = "*) echo failed ;;
  *"job_state = F"*) echo failed ;; # deleted before it began
  *) echo running ;;
esac
