"""What Grafana shows of Karar, as code."""
