"""First operations, for real: Prometheus and Alertmanager as they are shipped, two workers, and a load that goes wrong on purpose."""
