"""Real stores on 127.0.0.1, started by the tests: Ceph, sshd, a GCS emulator, and faults."""
