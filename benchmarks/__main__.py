"""Run every benchmark: `python -m benchmarks`, or `make bench`."""

from benchmarks import main_job

main_job.main()
