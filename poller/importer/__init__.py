"""`poller import`: templates of SAM and CloudFormation and listings of AWS, made into a poller.yaml."""
