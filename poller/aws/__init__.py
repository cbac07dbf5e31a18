"""AWS: the data plane of our own (wire.py) and aiobotocore for everything else."""
