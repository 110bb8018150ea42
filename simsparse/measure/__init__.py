"""Real runs on this host: trusted times, calibration of the host's machine file, networks executed."""
