"""Other stream processors with the workload of the engine alone, to measure Karar's engine against."""
