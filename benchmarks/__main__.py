"""Run every benchmark: `python -m benchmarks`, or `make bench`."""

from benchmarks import delivery, main_job

main_job.main()
delivery.main()
